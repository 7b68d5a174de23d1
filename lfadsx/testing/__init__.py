"""Whether a part of your own does what its seam promises: `check(part)`."""

from lfadsx.testing.conformance import check as check
