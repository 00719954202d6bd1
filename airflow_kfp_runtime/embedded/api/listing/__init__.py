"""Listings: which rows a request asks for with its filter, order and page, and what each resource allows."""
