//! One host of a fleet: what it is given, what it says, and when it is what it shall be.

use serde_json::{Value, json};

use crate::{Fleet, has_converged, wait_for};

impl Fleet {
    /// Waits until one host runs its newest target, by the word of the agent that runs now, and gives
    /// what the cluster says of it. Plans are made a moment after a change is committed: until then a host has
    /// converged to the target of before.
    pub async fn host_converged(&self, host: &str, why: &str) -> Value {
        let agent = self.agents.get(host);
        wait_for(&format!("all is planned, because {why}"), async || {
            let answer = self.api().try_get("/status").await?;
            match (answer.status, &answer.body["unplanned"]) {
                (200, Value::Null | Value::Bool(false)) => Ok(()),
                _ => Err(format!("{answer:?}")),
            }
        })
        .await;
        wait_for(
            &format!("{host} has converged, because {why}"),
            async || {
                if agent.is_some_and(|agent| !agent.has_reached_the_cluster()) {
                    return Err("its agent has begun no session".to_owned());
                }
                let answer = self.api().try_get(&format!("/hosts/{host}")).await?;
                let view = answer.body;
                if has_converged(&view) {
                    Ok(view)
                } else {
                    Err(view.to_string())
                }
            },
        )
        .await
    }

    /// The same, of a target that is all that would be planned now: also where it is held back for a while.
    pub async fn host_caught_up(&self, host: &str, why: &str) -> Value {
        wait_for(
            &format!("{host} has a target of what is wanted now, because {why}"),
            async || {
                let path = format!("/hosts/{host}/config");
                let wanted = self.api().try_get(&format!("{path}?proposed=true")).await?;
                let given = self.api().try_get(&path).await?;
                let (wanted, given) = (&wanted.body["digest"], &given.body["digest"]);
                if wanted.is_string() && wanted == given {
                    Ok(())
                } else {
                    Err(format!("{wanted} is wanted, {given} is given"))
                }
            },
        )
        .await;
        self.host_converged(host, why).await
    }

    /// Waits until what the cluster says of a host has these words.
    pub async fn host_says(&self, host: &str, words: &str) {
        wait_for(&format!("{host} says {words:?}"), async || {
            let view = self.host(host).await.to_string();
            if view.contains(words) {
                Ok(())
            } else {
                Err(view)
            }
        })
        .await;
    }

    /// Takes an identity out of service, by an operator's word.
    pub async fn take_out(&self, address: &str) {
        let path = format!("/ips/{address}/quarantine");
        self.api().post(&path, &json!({})).await.ok();
    }

    /// Takes an identity up again that was taken out so, by the word of an admin: it sends as before.
    pub async fn take_up(&self, address: &str) {
        for step in ["release?force=true", "release", "activate?force=true"] {
            let path = format!("/ips/{address}/{step}");
            self.api().post(&path, &json!({})).await.ok();
        }
    }

    /// Gives one host other files in the place of those that the default bundle has by these names.
    pub async fn give_files(&self, host: &str, files: &[(&str, &str)]) {
        let api = self.api();
        let known = api.get("/releases").await.ok()["default"]["bundle"].clone();
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), json!(text)));
        let files: serde_json::Map<String, Value> = files.collect();
        let bundle = json!({ "from": known, "files": files });
        let bundle = api.post("/bundles", &bundle).await.ok()["bundle"].clone();
        let release = json!({ "hosts": [host], "bundle": bundle });
        api.post("/releases", &release).await.ok();
    }
}
