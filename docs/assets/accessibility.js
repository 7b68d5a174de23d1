/* What the theme's pages lack for keyboards and screen readers: names of landmarks, and focus for what scrolls. */
function improve() {
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex]), .highlight-ipynb:not([tabindex]), .jp-OutputArea-output pre:not([tabindex])").forEach((wide) => (wide.tabIndex = 0));
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((tools) => {
    tools.setAttribute("aria-label", `Tools of code block ${document.querySelectorAll(".md-code__nav[aria-label]").length + 1}`);
  });
  document.querySelectorAll("nav.md-nav[aria-labelledby]").forEach((menu) => {
    const link = menu.parentElement.querySelector(".md-nav__container > a, .md-nav__link");
    menu.setAttribute("aria-label", `Pages of ${link.textContent.trim()}`);
    menu.removeAttribute("aria-labelledby");
  });
  document.querySelectorAll(".md-search[role=dialog]").forEach((search) => search.setAttribute("aria-label", "Search"));
}
improve();
new MutationObserver(improve).observe(document.body, { childList: true, subtree: true });
