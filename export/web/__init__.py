"""Export of a classifier as a web page that runs in the browser."""
