"""Side-by-side measurements. Run `make bench`; the results feed a page of the book."""
