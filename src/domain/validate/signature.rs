//! Validation of image signatures.

use serde_json::{Value, json};

use crate::{
    api::{ImageSignature, SignatureCondition},
    domain::names,
    meta::field,
};

/// Validates `signature` except the generic rules for its metadata, as `validateImageSignature` in
/// openshift-apiserver.
///
/// Deliberate difference: conditions of types other than `Trusted` and `ForImage` are ignored.
/// openshift-apiserver treats some of them as `ForImage` and panics on others.
pub fn signature(signature: &ImageSignature) -> field::Errors {
    let mut errors = metadata(signature);
    if signature.r#type.is_empty() {
        errors.push_with(|| field::Error::required("type", ""));
    }
    if signature.content.0.is_empty() {
        errors.push_with(|| field::Error::required("content", ""));
    }
    let trusted = newest(&signature.conditions, "Trusted");
    let for_image = newest(&signature.conditions, "ForImage");
    let missing = match (trusted, for_image) {
        (Some(_), None) => Some("missing \"ForImage\" condition type"),
        (None, Some(_)) => Some("missing \"Trusted\" condition type"),
        _ => None,
    };
    errors.extend(
        missing.map(|rule| field::Error::invalid_value("conditions", conditions(signature), rule)),
    );
    if trusted.is_none_or(|condition| condition.status == "Unknown") {
        errors.append(claims(signature));
    }
    errors
}

fn metadata(signature: &ImageSignature) -> field::Errors {
    let metadata = &signature.metadata;
    let mut errors = field::Errors::default();
    if !metadata.labels.is_empty() {
        errors.push_with(|| {
            field::Error::forbidden("metadata.labels", "signature labels cannot be set")
        });
    }
    if !metadata.annotations.is_empty() {
        errors.push_with(|| {
            field::Error::forbidden("metadata.annotations", "signature annotations cannot be set")
        });
    }
    if names::two_parts(&metadata.name, '@').is_none() {
        let rule = "name must be of format <imageName>@<signatureName>";
        errors.push_with(|| field::Error::invalid("metadata.name", &metadata.name, rule));
    }
    errors
}

/// Validates that only verified signatures have claims.
fn claims(signature: &ImageSignature) -> field::Errors {
    let rule = "must be unset for unknown signature state";
    let mut errors = field::Errors::default();
    if !signature.image_identity.is_empty() {
        errors
            .push_with(|| field::Error::invalid("imageIdentity", &signature.image_identity, rule));
    }
    if !signature.signed_claims.is_empty() {
        errors.push_with(|| {
            field::Error::invalid_value("signedClaims", json!(signature.signed_claims), rule)
        });
    }
    if let Some(issuer) = &signature.issued_by {
        let value = json!({"Organization": issuer.organization, "CommonName": issuer.common_name});
        errors.push_with(|| field::Error::invalid_value("issuedBy", value, rule));
    }
    if let Some(subject) = &signature.issued_to {
        let value = json!({"Organization": subject.organization, "CommonName": subject.common_name,
            "PublicKeyID": subject.public_key_id});
        errors.push_with(|| field::Error::invalid_value("issuedTo", value, rule));
    }
    errors
}

/// Returns the condition of a type with the latest probe time. Of equal ones the last counts.
fn newest<'a>(
    conditions: &'a [SignatureCondition],
    r#type: &str,
) -> Option<&'a SignatureCondition> {
    conditions.iter().filter(|each| each.r#type == r#type).max_by_key(|each| each.last_probe_time)
}

/// Returns the conditions as Go marshals the internal type, for errors.
fn conditions(signature: &ImageSignature) -> Value {
    let condition = |each: &SignatureCondition| {
        json!({"Type": each.r#type, "Status": each.status, "LastProbeTime": each.last_probe_time,
            "LastTransitionTime": each.last_transition_time, "Reason": each.reason, "Message": each.message})
    };
    signature.conditions.iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;
    use crate::{
        api::{SignatureIssuer, SignatureSubject},
        meta::Time,
    };

    fn good() -> ImageSignature {
        let mut signature = ImageSignature {
            r#type: "AtomicImageV1".into(),
            content: ByteString(b"sig".to_vec()),
            ..ImageSignature::default()
        };
        signature.metadata.name = "image@name".into();
        signature
    }

    fn errors(signature_: &ImageSignature) -> String {
        field::join(&signature(signature_))
    }

    fn with(conditions: &[(&str, &str, i64)]) -> ImageSignature {
        let condition = |(r#type, status, probe): &(&str, &str, i64)| SignatureCondition {
            r#type: (*r#type).into(),
            status: (*status).into(),
            last_probe_time: Some(Time::from_unix_seconds(*probe)),
            ..SignatureCondition::default()
        };
        ImageSignature {
            conditions: conditions.iter().map(condition).collect(),
            image_identity: "x".into(),
            ..good()
        }
    }

    #[test]
    fn signature_name_has_two_parts() {
        assert_eq!(errors(&good()), "[]");
        for name in ["", "bad", "a@b@c", "@b", "a@"] {
            let mut signature = good();
            signature.metadata.name = name.into();
            let rule = "name must be of format <imageName>@<signatureName>";
            assert_eq!(
                errors(&signature),
                format!("metadata.name: Invalid value: \"{name}\": {rule}")
            );
        }
    }

    #[test]
    fn labels_and_annotations_are_forbidden() {
        let mut signature = good();
        signature.metadata.labels.insert("a".into(), "b".into());
        signature.metadata.annotations.insert("a".into(), "b".into());
        assert_eq!(
            errors(&signature),
            "[metadata.labels: Forbidden: signature labels cannot be set, \
            metadata.annotations: Forbidden: signature annotations cannot be set]"
        );
    }

    #[test]
    fn type_and_content_are_required() {
        let signature =
            ImageSignature { r#type: String::new(), content: ByteString::default(), ..good() };
        assert_eq!(errors(&signature), "[type: Required value, content: Required value]");
    }

    #[test]
    fn claims_need_a_verified_signature() {
        let signature = ImageSignature {
            image_identity: "x".into(),
            signed_claims: [("a".to_owned(), "b".to_owned())].into(),
            issued_by: Some(SignatureIssuer {
                common_name: "n".into(),
                ..SignatureIssuer::default()
            }),
            issued_to: Some(SignatureSubject {
                public_key_id: "1".into(),
                ..SignatureSubject::default()
            }),
            ..good()
        };
        let rule = "must be unset for unknown signature state";
        assert_eq!(
            errors(&signature),
            format!(
                "[imageIdentity: Invalid value: \"x\": {rule}, signedClaims: Invalid value: {{\"a\":\"b\"}}: {rule}, \
                issuedBy: Invalid value: {{\"Organization\":\"\",\"CommonName\":\"n\"}}: {rule}, issuedTo: Invalid value: \
                {{\"Organization\":\"\",\"CommonName\":\"\",\"PublicKeyID\":\"1\"}}: {rule}]"
            )
        );
    }

    #[test]
    fn trusted_and_for_image_come_together() {
        assert_eq!(errors(&with(&[("Trusted", "True", 1), ("ForImage", "True", 1)])), "[]");
        assert!(
            errors(&with(&[("ForImage", "True", 1)]))
                .contains("missing \"Trusted\" condition type")
        );
        let mut signature = with(&[("Trusted", "True", 1)]);
        signature.conditions[0].last_probe_time = None;
        assert_eq!(
            errors(&signature),
            "conditions: Invalid value: [{\"Type\":\"Trusted\",\"Status\":\"True\",\"LastProbeTime\":null,\
            \"LastTransitionTime\":null,\"Reason\":\"\",\"Message\":\"\"}]: missing \"ForImage\" condition type"
        );
    }

    #[test]
    fn newest_condition_counts() {
        let unknown =
            with(&[("Trusted", "Unknown", 2), ("Trusted", "True", 1), ("ForImage", "True", 1)]);
        assert!(errors(&unknown).starts_with("imageIdentity"));
        assert_eq!(
            errors(&with(&[
                ("Trusted", "Unknown", 1),
                ("Trusted", "True", 1),
                ("ForImage", "True", 1)
            ])),
            "[]"
        );
    }

    /// openshift-apiserver panics on this input.
    #[test]
    fn conditions_of_other_types_are_ignored() {
        assert_eq!(
            errors(&with(&[("Foo", "True", 1), ("Trusted", "True", 1), ("ForImage", "True", 0)])),
            "[]"
        );
        assert!(
            errors(&with(&[("Foo", "True", 1), ("Trusted", "True", 1)]))
                .contains("missing \"ForImage\"")
        );
    }
}
