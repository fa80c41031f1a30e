#!/usr/bin/env python3
"""B10: rendering a PowerMTA configuration, ours against Jinja2 with the same data and the same bytes.

    tests/benches/b10-render.py [RENDERER]

RENDERER is the built example `render_powermta`; without it cargo builds and runs it. Needs Jinja2.
Figures are medians of CPU time, of this run on this machine; only the ratios mean something elsewhere.
`change` is a whole rendering after a change of one identity. No text with its hash in its head can be had
faster than `hash` and `copy` take together.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

import jinja2

# The same text as coordinator/src/powermta/render writes for one tenant, without its head.
TEMPLATE = """\
host-name pmta1.example.org
postmaster postmaster@example.net
run-as-root yes
log-file /var/log/pmta/log
http-mgmt-port 1983
http-access 127.0.0.1 monitor
smtp-listener 198.51.100.20:2525
{% for i in identities %}
smtp-listener {{ i.address }}:25
{% endfor %}
<spool /var/spool/pmta>
</spool>

# Sending identities: one address, one EHLO name, one DKIM key each.
{% for i in identities %}
<virtual-mta {{ i.vmta }}>
    smtp-source-host {{ i.address }} {{ i.hostname }}
    domain-key {{ i.selector }},{{ i.domain }},{{ i.key_path }}
    max-smtp-msg-rate {{ i.rate }}/h
</virtual-mta>
{% endfor %}

# Mail under a sender that is none of the tenant's: recorded as bounced, never sent.
<virtual-mta reject-bench>
    <domain *>
        type discard
        discard-as-bounce true
        check-spf-outbound no
    </domain>
</virtual-mta>

# Envelope sender to identity, per tenant; first match wins, the last line refuses.
<pattern-list senders-bench>
{% for i in identities %}
    header X-Virtual-MTA /^\\s*{{ i.vmta }}\\s*$/ virtual-mta={{ i.vmta }}
{% endfor %}
{% for i in identities %}
    mail-from /@{{ i.escaped }}$/ virtual-mta={{ i.vmta }}
{% endfor %}
    mail-from /.*/ virtual-mta=reject-bench
</pattern-list>

# Hosts of the fleet that may submit, each for its one tenant.
<source 198.51.100.10>
    always-allow-relaying yes
    pattern-list senders-bench
    process-x-virtual-mta no
    remove-header X-Virtual-MTA
    process-x-job yes
    suppress-local-dsn true
</source>

# Everybody else: may write to the domains below, and relay nothing.
<source 0/0>
    always-allow-relaying no
    process-x-virtual-mta no
    remove-header X-Virtual-MTA
    suppress-local-dsn true
    default-virtual-mta fleet-inbound
</source>

# Mail from outside.
{% for i in identities %}
relay-domain {{ i.domain }}
{% endfor %}
<virtual-mta fleet-inbound>
    smtp-source-host 198.51.100.20 pmta1.example.org
    <domain *>
        dkim-sign no
        check-spf-outbound no
        disable-acct-records d,b,t,tq
    </domain>
    <domain pmta1.example.org>
        type discard
    </domain>
{% for i in identities %}
    <domain {{ i.domain }}>
        type discard
    </domain>
{% endfor %}
</virtual-mta>
{% for kind, local in [("bounce-processor", ""), ("feedback-loop-processor", "fbl")] %}
<{{ kind }}>
    deliver-unmatched-email no
    deliver-matched-email no
    forward-errors-to postmaster@example.net
    <address-list>
        address {{ local or "bounce" }}@pmta1.example.org
{% for i in identities %}
        address {{ local or i.return_path }}@{{ i.domain }}
{% endfor %}
    </address-list>
</{{ kind }}>
{% endfor %}
<aliases>
    alias abuse@pmta1.example.org postmaster@example.net
    alias postmaster@pmta1.example.org postmaster@example.net
{% for i in identities %}
    alias abuse@{{ i.domain }} inbox@example.org
    alias {{ i.sender }}@{{ i.domain }} inbox@example.org
    alias postmaster@{{ i.domain }} inbox@example.org
{% endfor %}
</aliases>

# Accounting files, read by the agent.
<acct-file /var/log/pmta/acct.csv>
    records d,b,t
    max-size 50M
</acct-file>
<acct-file /var/log/pmta/feedback.csv>
    records b,rb,f
    record-fields b *,header_Message-Id
    record-fields rb *,header_Message-Id
    record-fields f *,header_Message-Id
    map-header-to-field f header_X-HmXmrOriginalRecipient rcpt
    max-size 50M
</acct-file>

{{ receivers }}"""

CARGO = ["cargo", "run", "--quiet", "--release", "-p", "email-engine-coordinator",
         "--example", "render_powermta", "--"]


def peer(data, runs):
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True,
                                  keep_trailing_newline=True).from_string(TEMPLATE)
    times = []
    for _ in range(runs):
        start = time.process_time()
        body = template.render(**data)
        # Our renderer hashes its text; so does the peer.
        hashlib.sha256(body.encode()).hexdigest()
        times.append(time.process_time() - start)
    return body, sorted(times)[len(times) // 2] * 1e6


def main():
    renderer = sys.argv[1:2] or CARGO
    print(f"load average {os.getloadavg()[0]:.1f} (above 0.3 the figures are noisy)")
    for count, runs, target in [(100, 9, 1_000), (10_000, 5, 15_000), (100_000, 3, 150_000)]:
        with tempfile.TemporaryDirectory() as folder:
            ours = subprocess.run([*renderer, str(count), folder], check=True,
                                  capture_output=True, text=True).stdout
            figures = {name: int(value) for name, value in map(str.split, ours.splitlines())}
            with open(f"{folder}/data.json", encoding="utf-8") as file:
                data = json.load(file)
            with open(f"{folder}/config", encoding="utf-8") as file:
                body = file.read().split("\n", 2)[2]
        theirs, peer_us = peer(data, runs)
        if theirs != body:
            sys.exit("the two renderers do not write the same bytes")
        us = figures["render"]
        print(f"{count:>7} identities, {figures['bytes']} bytes: render {us} us"
              f" (aim {target}), Jinja2 {peer_us:.0f} us, ratio {peer_us / max(us, 1):.1f};"
              f" change {figures['change']} us, hash {figures['hash']} us, copy {figures['copy']} us;"
              f" parse {figures['parse']} us, lint {figures['lint']} us,"
              f" restart lines {figures['restart']} us")


if __name__ == "__main__":
    main()
