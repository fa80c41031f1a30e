//! The role bundle that ships with this version.

use std::collections::BTreeMap;

use email_engine_protocol::bytes::ContentHash;

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../deploy/roles/", $path)))),*]
    };
}

macro_rules! providers {
    ($($name:literal),* $(,)?) => {
        [$((
            concat!("powermta/providers/", $name),
            include_str!(concat!("../../../deploy/providers/", $name)),
        )),*]
    };
}

/// Roles, templates and the catalogue of providers as shipped, by path, such as `powermta/role.toml`.
#[must_use]
pub fn builtin_bundle() -> BTreeMap<String, String> {
    let roles = shipped![
        "api/prometheus/alerts.j2",
        "api/authority.j2",
        "api/prometheus/cluster-ca.j2",
        "api/dashboards/blacklist-checks.json.j2",
        "api/dashboards/ips-status.json.j2",
        "api/dashboards/sending-volume.json.j2",
        "api/dashboards/warmup-progress.json.j2",
        "api/env.j2",
        "api/fleet.toml",
        "api/grafana/dashboards.j2",
        "api/grafana/datasource.j2",
        "api/grafana/unit.j2",
        "api/grafana.toml",
        "api/monitoring.toml",
        "api/prometheus/postgres-exporter.j2",
        "api/prometheus/arguments.j2",
        "api/prometheus/prometheus.j2",
        "api/nginx/proxy.j2",
        "api/prometheus/redis-exporter.j2",
        "api/redis/unit.j2",
        "api/redis/redis.j2",
        "api/role.toml",
        "api/service.toml",
        "api/nginx/site.j2",
        "api/units/scheduler.j2",
        "api/units/web.j2",
        "api/units/worker.j2",
        "exporter.j2",
        "exporter.toml",
        "firewall.toml",
        "mailwizz/application.toml",
        "mailwizz/authority.j2",
        "mailwizz/closed.toml",
        "mailwizz/cron.j2",
        "mailwizz/delivery-server.json.j2",
        "mailwizz/locations.j2",
        "mailwizz/mariadb.j2",
        "mailwizz/pool.j2",
        "mailwizz/quotas-kept.j2",
        "mailwizz/role.toml",
        "mailwizz/site.j2",
        "powermta/role.toml",
    ];
    let providers = providers![
        "apple.toml",
        "bounces.toml",
        "charter.toml",
        "comcast.toml",
        "everyone.toml",
        "free.toml",
        "gmail.toml",
        "gmx.toml",
        "laposte.toml",
        "microsoft.toml",
        "orange.toml",
        "sfr.toml",
        "t-online.toml",
        "yahoo.toml",
    ];
    let files = roles.into_iter().chain(providers);
    files
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
}

/// Name of a bundle: hash of the postcard bytes of its files.
///
/// # Panics
/// Never: texts by path serialise.
#[must_use]
pub fn bundle_hash(files: &BTreeMap<String, String>) -> ContentHash {
    let bytes = postcard::to_stdvec(files).expect("texts by path serialise");
    ContentHash::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_the_texts_and_their_paths() {
        let files = builtin_bundle();
        let mut other = files.clone();
        assert_eq!(bundle_hash(&files), bundle_hash(&other));
        other.insert("api/env.j2".to_owned(), String::new());
        assert_ne!(bundle_hash(&files), bundle_hash(&other));
    }
}
