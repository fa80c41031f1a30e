#!/usr/bin/env python3
"""Fleet files for scale alone: so many identities, a thousand for each tenant and host.

    tests/benches/large-fleet.py IDENTITIES FOLDER

writes FOLDER/fleet-001.toml and so on, ten thousand identities each, to be applied one after the other:

    for file in FOLDER/fleet-*.toml; do email-engine apply -f "$file"; done

Most identities are declared active or warming, which the key of an admin of the whole fleet alone may say.
The cluster makes a DKIM key for each identity, some ten a second and core: a fleet of 10,000 takes ten minutes.
Addresses are those of documentation: hosts have one of IPv4 each, of which there are 762, identities are below
2001:db8::/32.
"""

import sys
from pathlib import Path

GROUP = 1_000
PER_FILE = 10_000
PURPOSES = ["transactional", "marketing", "newsletter", "autoresponder", "notification"]
# As in the example of two tenants: most are warm, some on their way, a few stand by.
STATES = (
    ['status = "active", phase = "active"'] * 40
    + [f'status = "warming", phase = "week_{week}"' for week in (1, 2, 3, 4, 5, 6, 6)]
    + ['status = "standby"'] * 3
)


# A host is called at its address of IPv4.
HOSTS = [f"{net}.{last}" for net in ("192.0.2", "198.51.100", "203.0.113") for last in range(1, 255)]


def identity(number):
    group = number // GROUP
    high, low = divmod(number, 65_536)
    return (
        f'    {{ address = "2001:db8::{high:x}:{low:x}", domain = "m{number}.client{group}.example.com", '
        f'tenant = "client-{group}", host = "pmta{group}", purpose = "{PURPOSES[number % 5]}", '
        f"{STATES[number % len(STATES)]} }},"
    )


def groups(first, last):
    for group in range(first // GROUP, -(-last // GROUP)):
        yield "[[tenants]]", f'id = "client-{group}"', f'name = "Client {group}"', ""
        yield "[[hosts]]", f'id = "pmta{group}"', 'role = "powermta"', f'addresses = ["{HOSTS[group]}"]', ""


def main():
    if len(sys.argv) != 3 or not sys.argv[1].isdigit() or not 1 <= int(sys.argv[1]) <= GROUP * len(HOSTS):
        sys.exit(__doc__)
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for at, first in enumerate(range(0, count, PER_FILE), start=1):
        last = min(first + PER_FILE, count)
        lines = ["ips = [", *(identity(number) for number in range(first, last)), "]", ""]
        lines += [line for group in groups(first, last) for line in group]
        (folder / f"fleet-{at:03}.toml").write_text("\n".join(lines))


main()
