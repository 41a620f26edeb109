//! `redrive`: the messages that no function could read, and their way back.

use crate::args::RedriveArgs;
use crate::cloud::Cloud;
use crate::cloud::letters::{DeadLetters, Letter, SHOWN_MAX};
use crate::contexts::Deployment;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::{self, say};

/// As much of a message as names its run or object.
const SHOWN: usize = 300;

/// Shows dead letters, or puts them back.
///
/// # Errors
/// When no context is named, it has no such queue, or a queue refuses.
#[tokio::main(flavor = "current_thread")]
pub async fn redrive(global: &Global, args: &RedriveArgs) -> Result<Exit, CliError> {
    let Some(context) = &global.context else {
        return Err(CliError::Usage(
            "name the deployment whose dead letters are meant: --context NAME".to_owned(),
        ));
    };
    let queues = queues(&context.deployment, args.queue.as_deref())?;
    let cloud = Cloud::open(context).await?;
    let client = aws_sdk_sqs::Client::new(&cloud.config);
    let failed = |why| CliError::Below { what: "redrive", why };
    let mut count = 0;
    for Queue { name, url, home } in &queues {
        let letters = DeadLetters { client: &client, url, home };
        if args.put_back {
            let many = letters.put_back().await.map_err(failed)?;
            output::text(&format!("{name}: {many} put back\n"))?;
            continue;
        }
        let found = letters.look().await.map_err(failed)?;
        count += found.len();
        output::text(&found.iter().map(|letter| line(name, letter)).collect::<String>())?;
        if found.len() >= SHOWN_MAX {
            say(&format!("{name}: there may be more than these {}; --put-back takes them all", found.len()));
        }
    }
    match (args.put_back, count) {
        (true, _) => {}
        (false, 0) => say("there are no dead letters"),
        (false, _) => say(&format!(
            "once their cause is mended: dropforge --context {} redrive --put-back",
            context.name
        )),
    }
    Ok(Exit::Succeeded)
}

/// A queue's dead letters, and the queue itself.
#[derive(Debug, PartialEq, Eq)]
struct Queue {
    name: String,
    url: String,
    home: String,
}

fn queues(deployment: &Deployment, only: Option<&str>) -> Result<Vec<Queue>, CliError> {
    let dead = &deployment.dead_letter_queue_urls;
    let queue = |(name, url): (&String, &String)| {
        let home = match name.as_str() {
            "events" => &deployment.events_queue_url,
            "uploads" => &deployment.upload_queue_url,
            _ => return None,
        };
        Some(Queue { name: name.clone(), url: url.clone(), home: home.clone() })
    };
    let is_meant = |queue: &Queue| only.is_none_or(|only| only == queue.name);
    let found: Vec<Queue> = dead.iter().filter_map(queue).filter(is_meant).collect();
    if found.is_empty() {
        let there: Vec<&str> = dead.keys().map(String::as_str).collect();
        let what = only.map_or("any".to_owned(), |only| format!("those of {only:?}"));
        let why = format!("the context does not know {what}; it knows dead letters of: {}", there.join(", "));
        return Err(CliError::Usage(why));
    }
    Ok(found)
}

fn line(queue: &str, letter: &Letter) -> String {
    let sent = letter.sent.map_or_else(|| "?".to_owned(), |sent| format!("{sent:.0}"));
    let text: String =
        letter.body.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let rest = if letter.body.chars().count() > SHOWN { " …" } else { "" };
    format!("{queue}  {sent}  {text}{rest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_letters_go_back_to_it() {
        let deployment = Deployment {
            events_queue_url: "e".to_owned(),
            upload_queue_url: "u".to_owned(),
            dead_letter_queue_urls: [("events", "de"), ("uploads", "du")]
                .map(|(name, url)| (name.to_owned(), url.to_owned()))
                .into(),
            ..Deployment::default()
        };
        let queue = |name: &str, url: &str, home: &str| Queue {
            name: name.to_owned(),
            url: url.to_owned(),
            home: home.to_owned(),
        };
        let both = vec![queue("events", "de", "e"), queue("uploads", "du", "u")];
        assert_eq!(queues(&deployment, None).unwrap(), both);
        assert_eq!(queues(&deployment, Some("uploads")).unwrap(), both[1..]);
        let why = queues(&deployment, Some("upload")).unwrap_err().to_string();
        assert!(why.contains("events, uploads"), "{why}");
    }

    #[test]
    fn a_letter_is_one_line() {
        let mut letter = Letter::text("a\nb");
        letter.sent = Some(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(line("events", &letter), "events  1970-01-01T00:00:00Z  a b\n");
    }
}
