"""Tables and one self-contained HTML page."""
