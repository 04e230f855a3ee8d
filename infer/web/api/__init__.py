"""The page's named endpoints, with RVC's names and order of parameters."""

from infer.web.api import ckpt, convert, train
from infer.web.page import Page


def add(page: Page) -> None:
    """Adds all endpoints to the Blocks being built."""
    for part in (convert, train, ckpt):
        part.add(page)
