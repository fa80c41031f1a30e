//! Queues that send their mail on.

use super::*;

fn three(lines: [&str; 3]) -> Config {
    let text: Vec<_> = ["v", "w", "x"]
        .iter()
        .zip(lines)
        .map(|(name, lines)| {
            format!(
                "<virtual-mta {name}>\nsmtp-source-host 127.0.0.2 {name}.example\n\
                 <domain *>\n{lines}\n</domain>\n</virtual-mta>\n"
            )
        })
        .collect();
    config(&text.concat())
}

fn waiting(queues: &Queues, vmta: &str) -> usize {
    let key = QueueKey::parse(&format!("b.example/{vmta}"));
    queues.all.get(&key).map_or(0, |queue| queue.items.len())
}

#[test]
fn a_reroute_leads_to_its_end_and_its_virtual_mta_is_written_down() {
    let config = three(["reroute-to-virtual-mta w", "reroute-to-virtual-mta x", ""]);
    let mut queues = Queues::default();
    queues.enqueue(&config, &mail(1, 2), 0);
    let (assigned, _) = queues.assign(&config, 0);
    assert_eq!(assigned[0].helo, "x.example");
    assert_eq!((waiting(&queues, "v"), waiting(&queues, "x")), (0, 2));
    let end = &queues.all[&QueueKey::parse("b.example/x")];
    assert_eq!(end.items[0].envelope.vmta, "x");
}

#[test]
fn back_off_reroutes_what_waits_and_what_comes_until_it_ends() {
    let config = three(["backoff-reroute-to-virtual-mta w", "", ""]);
    let mut queues = Queues::default();
    queues.enqueue(&config, &mail(1, 1), 0);
    queues.assign(&config, 0);
    assert_eq!(waiting(&queues, "v"), 1, "not in normal mode");
    let own = |queues: &mut Queues, mode| queues.all.get_mut(&key()).unwrap().set_mode(mode, 0);
    own(&mut queues, Mode::Backoff);
    queues.assign(&config, 0);
    queues.enqueue(&config, &mail(2, 1), 0);
    queues.assign(&config, 0);
    assert_eq!((waiting(&queues, "v"), waiting(&queues, "w")), (0, 2));
    own(&mut queues, Mode::Normal);
    queues.enqueue(&config, &mail(3, 1), 0);
    queues.assign(&config, 0);
    assert_eq!((waiting(&queues, "v"), waiting(&queues, "w")), (1, 2));
}

#[test]
fn a_loop_of_reroutes_ends_in_its_last_queue_and_is_said() {
    let config = three([
        "reroute-to-virtual-mta w",
        "reroute-to-virtual-mta x",
        "reroute-to-virtual-mta v",
    ]);
    let mut queues = Queues::default();
    queues.enqueue(&config, &mail(1, 1), 0);
    for now in 0..3 {
        queues.assign(&config, now);
        assert_eq!(waiting(&queues, "x"), 1, "it stays");
    }
    assert_eq!(queues.faults.len(), 1, "{:?}", queues.faults);
}
