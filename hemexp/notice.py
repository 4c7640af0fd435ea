"""What every page, text and bundle says first."""

NOTICE = "Research software, not a medical device."
