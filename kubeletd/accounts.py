"""Who a container's process is: numbers for the names in its image's /etc/passwd and /etc/group. Pure. (KEP-3619)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: A process's user, primary group and all its groups, as the status of a container tells them.
ProcessUser = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Accounts:
    """The two files of an image, "" where it has none."""

    passwd: str = ""
    group: str = ""

    def user(self, wanted: str) -> tuple[str, int, int] | None:
        """(name, uid, gid) of a name or number; a number that nobody has is of group 0. None for an unknown name."""
        number = int(wanted) if wanted.isdigit() else -1
        for line in self.passwd.splitlines():
            name, _, uid, gid, *_ = (*line.split(":"), "", "", "", "")
            if (name == wanted or uid == str(number)) and uid.isdigit() and gid.isdigit():
                return name, int(uid), int(gid)
        return ("", number, 0) if number >= 0 else None

    def group_number(self, wanted: str) -> int | None:
        if wanted.isdigit():
            return int(wanted)
        for line in self.group.splitlines():
            name, _, gid, *_ = (*line.split(":"), "", "", "")
            if name == wanted and gid.isdigit():
                return int(gid)
        return None

    def memberships(self, name: str) -> list[int]:
        """The groups that list a user."""
        found = []
        for line in self.group.splitlines():
            _, _, gid, members, *_ = (*line.split(":"), "", "", "", "")
            if name and gid.isdigit() and name in members.split(","):
                found.append(int(gid))
        return found


def process_user(
    accounts: Accounts,
    image_user: str,
    *,
    user: int | None,
    group: int | None,
    more_groups: Sequence[int],
    strict: bool,
) -> ProcessUser | None:
    """What a container's process runs as. None where the image's user is one that its files do not have.

    `user` and `group` are the pod's wishes, `image_user` the image's (`user[:group]`). With `strict` only the groups
    that the pod names count, else those too that the image's user is a member of.
    """
    wanted, _, wanted_group = image_user.partition(":")
    found = accounts.user(str(user) if user is not None else wanted or "0")
    if found is None:
        return None
    name, uid, gid = found
    if group is not None:
        gid = group
    elif user is None and wanted_group:
        number = accounts.group_number(wanted_group)
        if number is None:
            return None
        gid = number
    own = [] if strict else accounts.memberships(name)
    return uid, gid, tuple(dict.fromkeys((gid, *own, *more_groups)))
