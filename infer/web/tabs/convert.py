"""The tab is built here."""

from infer.web.page import Page


def build(page: Page) -> None:
    """Adds the components of this tab."""
