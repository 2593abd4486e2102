//! What may be typed while the demo stands: links are cut and restored, as the tour asks for.

use std::io::BufRead as _;

use super::process::Office;

/// Lists the pages of all offices by number, with the accounts.
pub(super) fn show(offices: &[Office], login: &str, password: &str) {
    println!(
        "\n网页 · pages (登录名 login {login}，第二人 second person {login}2，口令 password {password})"
    );
    for (number, office) in offices.iter().enumerate() {
        println!("  {number}  {}  {}", office.pages, office.name);
    }
    println!(
        "\n断开、恢复某单位的网络 · to cut an office off and to restore its link:  cut 7  heal 7"
    );
    println!("结束演示 · to end the demo:  end  (Ctrl-C)");
}

/// Does what is typed, until `end`.
pub(super) fn obey(offices: &[Office]) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        let (verb, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let link = number.parse().ok().and_then(|at: usize| offices.get(at)?.link.as_ref());
        match (verb, link) {
            ("cut" | "heal", Some(link)) => {
                link.set_cut(verb == "cut");
                println!("{verb} {number} ✓");
            }
            ("", _) => {}
            ("end", _) => return,
            _ => println!("cut N | heal N | end; N is the number of an office below the city"),
        }
    }
    // Nobody types: the offices stay until the process is ended.
    loop {
        std::thread::park();
    }
}
