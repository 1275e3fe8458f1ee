"""What the site is made of: settings, URLs, and the doors that servers use."""
