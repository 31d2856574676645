//! Seeds of all fuzz targets, run without a fuzzer. They include the inputs that once failed.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "library of the fuzz targets, which are separate programs")]
mod targets;

/// Seeds of a target. Files without an extension come from a fuzzer and are skipped.
fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some()).collect()
}

#[test]
fn every_seed_of_every_target_does_no_harm() {
    for target in targets::ALL {
        let seeds = seeds(target.name);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in seeds {
            // Names the seed in the output if the target panics.
            println!("{}", seed.display());
            (target.run)(&fs::read(&seed).unwrap());
        }
    }
}

#[test]
fn every_target_can_be_fuzzed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut wanted: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}
