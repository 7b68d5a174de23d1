"""Programs that measure accuracy and speed."""
