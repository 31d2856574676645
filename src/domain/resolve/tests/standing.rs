//! Copies of images that their source streams have without proof.

use super::*;

#[test]
fn copied_tag_has_the_standing_of_its_source() {
    let mut source = with_history(stream("x", &[]), "t", &[event("i", 1), event("j", 1)]);
    source.unproved = [("i".to_owned(), "uid".to_owned())].into();
    let known = others(&[("ns", "x", Some(source.clone()))]);
    for (kind, from) in [("tag", "x:t"), ("image", "x@i")] {
        let copy = created(stream("s", &[("a", kind, from)]), &known);
        assert_eq!(copy.unproved, source.unproved, "{kind}");
    }
    let proved = created(stream("s", &[("a", "image", "x@j")]), &known);
    assert!(proved.unproved.is_empty());
    // A source that has the image proved proves it for the copy.
    let old = created(stream("s", &[("a", "tag", "x:t")]), &known);
    source.unproved.clear();
    let known = others(&[("ns", "x", Some(source))]);
    let mut new = old.clone();
    set_tag(&mut new, "b", "tag", "x:t");
    assert_eq!(write(Some(&old), &mut new, WriteTarget::Stream, &known), "");
    assert!(new.unproved.is_empty());
}

/// Returns a stream with `count` withheld images and with tags `a0`.. for unproved images.
fn withholding(name: &str, count: usize, unproved: usize) -> ImageStream {
    let mut source = stream(name, &[]);
    source.unproved =
        (0..count).map(|at| (format!("{name}-{at:060}"), unproved::WITHHELD.into())).collect();
    for at in 0..unproved {
        let items = vec![event(&format!("u{at:060}"), 1)];
        source.unproved.insert(items[0].image.clone(), "uid".into());
        source.status.tags.push(NamedTagEventList {
            tag: format!("a{at:06}"),
            items: items.into(),
            conditions: vec![],
        });
    }
    source
}

/// Returns a stream with `count` tags that come from the tags of a [`withholding`] stream, or from
/// its image `i`.
fn copying(kind: &str, name: &str, count: usize) -> ImageStream {
    let mut copy = stream("s", &[]);
    let from =
        |at: usize| if kind == "tag" { format!("{name}:a{at:06}") } else { format!("{name}@u") };
    copy.spec.tags = (0..count)
        .map(|at| {
            set_tag(&mut ImageStream::default(), &format!("t{at:06}"), kind, &from(at)).clone()
        })
        .collect();
    copy
}

#[test]
fn withheld_images_are_copied_once_for_each_source_stream() {
    const TAGS: usize = 1500;
    const WITHHELD: usize = 60_000;
    for (kind, unproved) in [("tag", TAGS), ("image", 1)] {
        let source = withholding("x", WITHHELD, unproved);
        let known = others(&[("ns", "x", Some(source.clone()))]);
        let start = std::time::Instant::now();
        let copy = created(copying(kind, "x", TAGS), &known);
        assert!(start.elapsed().as_secs() < 5, "{kind}: {:?}", start.elapsed());
        assert_eq!(copy.unproved, source.unproved, "{kind}");
    }
}

#[test]
fn many_unproved_images_are_recorded_in_time() {
    const TAGS: usize = 20_000;
    let source = withholding("x", 0, TAGS);
    let known = others(&[("ns", "x", Some(source.clone()))]);
    let start = std::time::Instant::now();
    let copy = created(copying("tag", "x", TAGS), &known);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    assert_eq!(copy.unproved, source.unproved);
}

#[test]
fn sources_withhold_a_limited_number_of_images() {
    let most = unproved::MAX_WITHHELD;
    let known = others(&[
        ("ns", "x", Some(withholding("x", most, 1))),
        ("ns", "y", Some(withholding("y", 1, 1))),
        ("ns", "z", Some(withholding("z", most + 1, 1))),
    ]);
    let fits = created(stream("s", &[("a", "tag", "x:a000000")]), &known);
    assert_eq!(unproved::withheld_error(None, &fits), None);
    let mut over = fits.clone();
    set_tag(&mut over, "b", "tag", "y:a000000");
    assert_eq!(write(Some(&fits), &mut over, WriteTarget::Stream, &known), "");
    let error = unproved::withheld_error(Some(&fits), &over).unwrap().to_string();
    assert!(
        error.starts_with("spec.tags: Forbidden: ") && error.contains("contain 1001 images"),
        "{error}"
    );
    assert!(
        error.contains("at most 1000") && error.contains("push the images into this stream"),
        "{error}"
    );
    // A stream over the limit accepts updates that add no withheld images.
    let mut more = over.clone();
    set_tag(&mut more, "c", "tag", "x:a000000");
    assert_eq!(write(Some(&over), &mut more, WriteTarget::Stream, &known), "");
    assert_eq!(
        (history(&more) != history(&over), unproved::withheld_error(Some(&over), &more)),
        (true, None)
    );
    set_tag(&mut more, "d", "tag", "z:a000000");
    assert_eq!(write(Some(&over), &mut more, WriteTarget::Stream, &known), "");
    assert!(unproved::withheld_error(Some(&over), &more).is_some());
}

#[test]
fn image_truncated_by_the_write_is_gone() {
    let mut source = with_history(stream("x", &[]), "t", &[event("i", 1)]);
    source = with_history(source, "u", &[event("j", 1)]);
    source.unproved = ["i", "j"].map(|name| (name.to_owned(), "uid".to_owned())).into();
    let known = others(&[("ns", "x", Some(source))]);
    // Tag a loses its proved image i before tag b gets the image without proof.
    let old = with_history(stream("s", &[("a", "ref", "r.io/j")]), "a", &[event("i", 1)]);
    let registries = registries();
    let max_history = MaxTagHistory(std::num::NonZeroUsize::new(1));
    let (target, now) = (WriteTarget::Stream, Time::from_unix_seconds(NOW));
    let mut new = old.clone();
    set_tag(&mut new, "a", "tag", "x:u");
    set_tag(&mut new, "b", "tag", "x:t");
    let resolution = Resolution {
        old: Some(&old),
        others: &known,
        registries: &registries,
        max_history,
        target,
        now,
    };
    assert!(resolution.run(&mut new).is_empty());
    assert_eq!(new.unproved.keys().collect::<Vec<_>>(), ["i", "j"]);
}

#[test]
fn empty_history_survives_changes_of_other_tags() {
    let old = with_history(stream("s", &[]), "empty", &[]);
    let mut new = old.clone();
    set_tag(&mut new, "a", "docker", "r.io/x");
    assert_eq!(write(Some(&old), &mut new, WriteTarget::Stream, &SourceStreams::default()), "");
    // The new tag has no history without an import.
    assert_eq!(new.status.tags, old.status.tags);
}
