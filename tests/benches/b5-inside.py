"""On the host of bench B5: runs the tools on the one list and measures them. See b5-converge."""

import json
import os
import pathlib
import subprocess
import sys
import time

PLACE = pathlib.Path("/opt/bench")
LIST = json.loads((PLACE / "list.json").read_text())
DATA = PLACE / "data"
# What Ansible's documentation advises for speed.
ENVIRONMENT = {"ANSIBLE_PIPELINING": "1"}
# Users that nobody logs in as.
NO_SHELL = "/usr/sbin/nologin"


def playbook():
    """The modules that its documentation names for each; facts are not gathered, nobody needs them."""
    def task(module, item, loop):
        return {f"ansible.builtin.{module}": item, "loop": loop, "loop_control": {"label": "x"}}

    files = [{"path": path, "source": source} for path, source in LIST["files"]]
    links = [{"path": path, "target": target} for path, target in LIST["links"]]
    owner = {"owner": "root", "group": "root"}
    tasks = [
        task("file", {"path": "{{ item }}", "state": "directory", "mode": "0755", **owner}, LIST["directories"]),
        task("copy", {"dest": "{{ item.path }}", "src": "{{ item.source }}", "mode": "0644", **owner}, files),
        task("file", {"path": "{{ item.path }}", "src": "{{ item.target }}", "state": "link"}, links),
        task("group", {"name": "{{ item }}", "system": True}, LIST["groups"]),
        task("user", {"name": "{{ item }}", "system": True, "create_home": False, "shell": NO_SHELL}, LIST["users"]),
        {"ansible.builtin.apt": {"name": LIST["packages"], "state": "present"}},
        task("systemd", {"name": "{{ item }}", "enabled": True, "state": "started"}, LIST["units"]),
    ]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (PLACE / "play.yml").write_text(json.dumps(play))
    words = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(PLACE / "play.yml")]
    return words, lambda out: "changed=0" in out


def manifest():
    lines = []
    for path in LIST["directories"]:
        lines.append(f"file {{ '{path}': ensure => directory, mode => '0755', owner => root, group => root }}")
    for path, source in LIST["files"]:
        lines.append(f"file {{ '{path}': ensure => file, source => '{source}', mode => '0644', "
                     "owner => root, group => root }")
    for path, target in LIST["links"]:
        lines.append(f"file {{ '{path}': ensure => link, target => '{target}' }}")
    for name in LIST["groups"]:
        lines.append(f"group {{ '{name}': ensure => present, system => true }}")
    for name in LIST["users"]:
        lines.append(f"user {{ '{name}': ensure => present, system => true, shell => '{NO_SHELL}' }}")
    for name in LIST["packages"]:
        lines.append(f"package {{ '{name}': ensure => installed }}")
    for unit in LIST["units"]:
        lines.append(f"service {{ '{unit}': ensure => running, enable => true, "
                     f"require => File['/etc/systemd/system/{unit}'] }}")
    (PLACE / "site.pp").write_text("\n".join(lines))
    words = ["puppet", "apply", "--detailed-exitcodes", str(PLACE / "site.pp")]
    return words, lambda out: True


def policy():
    """Without its library of bundles: a promise each, commands only where something is missing."""
    def promise(path, kind, text):
        return f'      "{path}" {text}, perms => {kind};\n'

    files = "".join(promise(f"{path}/.", "folder", 'create => "true"') for path in LIST["directories"])
    files += "".join(promise(path, "plain", f'copy_from => same("{source}")') for path, source in LIST["files"])
    links = "".join(f'      "{path}" link_from => leads("{target}");\n' for path, target in LIST["links"])
    classes = commands = ""

    def holds(command):
        return f'returnszero("{command}", "noshell")'

    def both(unit):
        asked = (holds(f"/usr/bin/systemctl {verb} --quiet {unit}") for verb in ("is-active", "is-enabled"))
        return f"and({', '.join(asked)})"

    wanted = [(f"group_{at}", holds(f"/usr/bin/getent group {name}"), f"/usr/sbin/groupadd --system {name}")
              for at, name in enumerate(LIST["groups"])]
    # Its own promise of users makes no accounts of the system.
    wanted += [(f"user_{at}", holds(f"/usr/bin/getent passwd {name}"),
                f"/usr/sbin/useradd --system --user-group --no-create-home --shell {NO_SHELL} {name}")
               for at, name in enumerate(LIST["users"])]
    wanted += [(f"package_{at}", holds(f"/usr/bin/dpkg -s {name}"), f"/usr/bin/apt-get install -qy {name}")
               for at, name in enumerate(LIST["packages"])]
    wanted += [(f"unit_{at}", both(unit), f"/usr/bin/systemctl enable --now {unit}")
               for at, unit in enumerate(LIST["units"])]
    for name, test, make in wanted:
        classes += f'      "{name}" expression => {test};\n'
        commands += f'    !{name}::\n      "{make}" contain => quiet;\n'
    text = f"""
body common control {{ bundlesequence => {{ "bench" }}; inputs => {{ }}; }}
body perms folder {{ mode => "755"; owners => {{ "root" }}; groups => {{ "root" }}; }}
body perms plain {{ mode => "644"; owners => {{ "root" }}; groups => {{ "root" }}; }}
body copy_from same(from) {{ source => "$(from)"; compare => "digest"; }}
body link_from leads(to) {{ source => "$(to)"; link_type => "symlink"; }}
body contain quiet {{ useshell => "noshell"; no_output => "true"; }}
bundle agent bench {{
  files:
{files}{links}
  classes:
{classes}
  commands:
{commands}
}}
"""
    place = PLACE / "policy.cf"
    place.write_text(text)
    place.chmod(0o600)
    # What a host of its is given when it is installed.
    subprocess.run(["cf-key"], capture_output=True, check=False)
    return ["cf-agent", "--no-lock", "--inform", "--file", str(place)], lambda out: "info:" not in out


def ours(passes=1):
    words = [str(PLACE / "converge"), str(PLACE / "list.json"), str(DATA), str(passes)]
    return words, lambda out: json.loads(out)["changed"] == 0


TOOLS = {"email-engine": ours, "ansible": playbook, "puppet": manifest, "cfengine": policy}


def timed(words, is_idle, idle):
    """Wall and CPU seconds of a run that ends well; whether it found nothing to do must be as said."""
    before, begin = os.times(), time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | ENVIRONMENT)
    wall, after = time.monotonic() - begin, os.times()
    out = done.stdout + done.stderr
    # Puppet says by its code whether it changed something.
    good = done.returncode in ((0, 2) if words[0] == "puppet" and not idle else (0,))
    if not good or (idle and not is_idle(out)):
        sys.exit(f"{words[0]} ended with {done.returncode}, expected {'no change' if idle else 'success'}:\n{out}")
    cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return {"wall": wall, "cpu": cpu}


def calls_of_a_pass():
    """System calls of one warm pass: those of eleven without those of one."""
    def counted(passes):
        words, _ = ours(passes)
        table = PLACE / f"calls-{passes}"
        subprocess.run(["strace", "-f", "-c", "-o", table, *words], capture_output=True, check=True)
        counts = {}
        for line in table.read_text().splitlines():
            cells = line.split()
            if len(cells) >= 5 and cells[3].isdigit():
                counts[cells[-1]] = int(cells[3])
        return counts

    few, many = counted(1), counted(11)

    def per_pass(names):
        return sum(many.get(name, 0) - few.get(name, 0) for name in names) / 10

    # The floor's own reads are in both lists ten times over: its calls are known.
    own = len(LIST["files"])
    everything = per_pass(set(many) - {"total"})
    return {
        "forks": per_pass(["fork", "vfork", "clone", "clone3", "execve"]),
        "writes": per_pass(["write", "pwrite64", "writev", "fsync", "fdatasync", "rename", "renameat",
                            "renameat2", "unlink", "unlinkat"]),
        "calls": f"{everything:.0f}, of which the floor's own reads of {own} files are some",
    }


def has_packages():
    line = f"deb [trusted=yes] file:{PLACE}/repository ./\n"
    pathlib.Path("/etc/apt/sources.list").write_text(line)
    subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=True)


def main():
    has_packages()
    if sys.argv[1] == "bare":
        words, is_idle = TOOLS[sys.argv[2]]()
        figures = timed(words, is_idle, idle=False)
        # It did what it says: another run finds nothing, and neither does ours, which remembers nothing.
        timed(words, is_idle, idle=True)
        timed([str(PLACE / "converge"), str(PLACE / "list.json"), str(PLACE / "fresh"), "1"], ours()[1], idle=True)
        figures["resources"] = sum(len(part) for part in LIST.values())
        print(json.dumps(figures))
        return
    rounds = int(sys.argv[2])
    tools = {name: make() for name, make in TOOLS.items()}
    # Each once, so that what it keeps for later is there.
    for words, is_idle in tools.values():
        timed(words, is_idle, idle=False)
    runs = {name: [] for name in tools}
    for at in range(rounds):
        names = list(tools)
        for name in names if at % 2 == 0 else reversed(names):
            runs[name].append(timed(*tools[name], idle=True))
    words, _ = ours(201)
    warm = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    print(json.dumps({"rounds": rounds, "tools": runs, "warm": warm, **calls_of_a_pass()}))


if __name__ == "__main__":
    main()
