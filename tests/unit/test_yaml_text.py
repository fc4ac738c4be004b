"""deploy.yaml_text: keys of a YAML file are edited as text, and the rest stays byte for byte."""

from __future__ import annotations

import pytest
import yaml

from deploy import yaml_text
from deploy.yaml_text import NoKeyError

TEXT = """---
# Secrets.  Keep.
first: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
  6364

# about the second
second: "plain"   # why
third: |
  first: not a key

  more
list:
- one
- two
last: 1"""


def test_a_key_is_renamed_and_nothing_else_changes() -> None:
    assert yaml_text.rename(TEXT, "second", "other") == TEXT.replace('second: "plain"', 'other: "plain"')


def test_a_key_goes_with_its_value_and_comments_stay() -> None:
    left = yaml_text.remove(TEXT, "first")
    assert left == TEXT[: TEXT.index("first: !vault")] + TEXT[TEXT.index("\n# about") :]
    assert "  more" not in yaml_text.remove(TEXT, "third")
    assert yaml.safe_load(yaml_text.remove(yaml_text.remove(TEXT, "first"), "list")) == {
        "second": "plain", "third": "first: not a key\n\nmore\n", "last": 1,
    }  # fmt: skip


def test_lines_are_added_behind_a_value_also_at_the_end_of_a_file_without_a_line_end() -> None:
    assert yaml_text.insert(TEXT, "first", "new: 1\n").index("  6364\nnew: 1\n\n# about")
    assert yaml_text.insert(TEXT, "last", "new: 1\n").endswith("last: 1\nnew: 1\n")


def test_a_value_is_replaced() -> None:
    assert yaml_text.replace(TEXT, "list", "list: []\n") == TEXT.replace("list:\n- one\n- two\n", "list: []\n")


@pytest.mark.parametrize("key", ["not", "sec", "more", "one", "6162"])
def test_what_is_no_key_at_the_beginning_of_a_line_is_none(key: str) -> None:
    assert not yaml_text.has(TEXT, key)
    with pytest.raises(NoKeyError, match=key):
        yaml_text.remove(TEXT, key)


def test_every_encrypted_value_is_changed_wherever_it_stands_and_keeps_its_indent() -> None:
    nested = TEXT + "\nall:\n  vars:\n    deep: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      99\n    plain: 1\n"
    seen: list[str] = []

    def change(ciphertext: str) -> str:
        seen.append(ciphertext)
        return "$NEW\n1\n2\n"

    changed = yaml_text.reencrypt(nested, change)
    assert seen == ["$ANSIBLE_VAULT;1.1;AES256\n6162\n6364\n", "$ANSIBLE_VAULT;1.1;AES256\n99\n"]
    assert "first: !vault |\n  $NEW\n  1\n  2\n\n# about" in changed
    assert "    deep: !vault |\n      $NEW\n      1\n      2\n    plain: 1\n" in changed
    assert yaml_text.reencrypt(nested, lambda same: same) == nested
