//! What the command line says of itself.

use crate::harness::Tidegate;

#[test]
fn each_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = Tidegate::finished(&["completions", shell]);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{shell}");
        assert!(ended.stdout.contains("token-file") && ended.stdout.contains("instances"), "{shell}");
    }
    assert_eq!(Tidegate::finished(&["completions", "tcsh"]).status.code(), Some(64));
}

#[test]
fn bash_accepts_its_completions() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), Tidegate::finished(&["completions", "bash"]).stdout).unwrap();
    let command = "source \"$0\" && COMP_WORDS=(tidegate ctl re) COMP_CWORD=2 && \
                   _tidegate tidegate re ctl && echo \"${COMPREPLY[@]}\"";
    let output =
        std::process::Command::new("bash").args(["-c", command]).arg(script.path()).output().unwrap();
    let (found, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((found.trim(), &*errors), ("reload", ""));
}

#[test]
fn the_manual_page_has_every_command() {
    let page = Tidegate::finished(&["man"]).stdout;
    assert!(page.contains(".TH tidegate 1"), "{page}");
    for command in ["run", "demo", "check", "ctl", "completions", "man"] {
        assert!(page.contains(&format!("tidegate\\-{command}(1)")), "{command}: {page}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let ended = Tidegate::finished(&["man", directory.path().to_str().unwrap()]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    for page in ["tidegate.1", "tidegate-run.1", "tidegate-ctl.1", "tidegate-ctl-reload.1"] {
        let text = std::fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}
