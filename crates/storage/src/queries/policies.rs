//! Policies' statements.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde_json::{Value, json};
use tidegate_domain::{
    self as domain, DeviceId, Hold, MAX_POLICIES, MAX_POLICIES_PER_SUBJECT, PackageName, Policy, PolicyId,
    PolicySet, PolicySpec, PolicySubject, PolicyTerms,
};

use super::epochs::Epoch;
use super::{Conn, audit, devices as device_queries, epochs, tags as tag_queries};
use crate::error::Fault;
use crate::rows::{clean, device_id, package_name, version};
use crate::schema::{devices, packages, policies, tags};
use crate::time::{micros, moment};
use crate::{Actor, Error, Page, Paged, PolicyChange, PolicyFilter};

#[derive(QueryableByName)]
struct PolicyRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    tag: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    device: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    package: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    max_version: Option<i64>,
    #[diesel(sql_type = Bool)]
    holds: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    hold_until_at: Option<i64>,
    #[diesel(sql_type = Text)]
    remark: String,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
}

impl PolicyRow {
    fn into_policy(self) -> Result<Policy, Error> {
        let subject = match (self.tag, self.device) {
            (Some(tag), _) => PolicySubject::Tag(tag_queries::tag(&tag)?),
            (None, Some(device)) => PolicySubject::Device(device_id(&device)?),
            (None, None) => PolicySubject::Everybody,
        };
        let hold = match self.hold_until_at {
            Some(end) => Hold::Until(moment(end)?),
            None => Hold::UntilLifted,
        };
        Ok(Policy {
            id: PolicyId(self.id),
            spec: PolicySpec {
                subject,
                package: self.package.as_deref().map(package_name).transpose()?,
                terms: PolicyTerms {
                    max_version: self.max_version.map(version).transpose()?,
                    hold: self.holds.then_some(hold),
                },
                remark: self.remark,
            },
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
        })
    }
}

/// The policies, `p`, that a condition chooses.
fn select(rest: &str) -> String {
    format!(
        "SELECT p.id, t.name AS tag, d.name AS device, k.name AS package, p.max_version, p.holds, p.hold_until_at,
                p.remark, p.created_by, p.created_at
         FROM policies p
         LEFT JOIN tags t ON t.id = p.tag_id
         LEFT JOIN devices d ON d.id = p.device_id
         LEFT JOIN packages k ON k.id = p.package_id
         {rest}"
    )
}

fn load(conn: &mut Conn, rest: &str) -> Result<Vec<Policy>, Fault> {
    let rows: Vec<PolicyRow> = diesel::sql_query(select(rest)).load(conn)?;
    let policies: Result<Vec<Policy>, Error> = rows.into_iter().map(PolicyRow::into_policy).collect();
    Ok(policies?)
}

/// All of them, for the catalog.
pub(crate) fn all(conn: &mut Conn) -> Result<PolicySet, Fault> {
    Ok(PolicySet::new(load(conn, "ORDER BY p.id")?))
}

pub(crate) fn get(conn: &mut Conn, id: PolicyId) -> Result<Policy, Fault> {
    let found = load(conn, &format!("WHERE p.id = {id}"))?.pop();
    Ok(found.ok_or_else(|| unknown(id))?)
}

pub(crate) fn list(conn: &mut Conn, filter: &PolicyFilter, page: &Page) -> Result<Paged<Policy>, Fault> {
    let before = page.after::<i64>()?.unwrap_or(i64::MAX);
    let mut conditions = vec![format!("p.id < {before}")];
    // Numbers, and no text of the caller's.
    if let Some(tag) = &filter.tag {
        let id: Option<i64> = tags::table
            .filter(tags::name.eq(tag.as_str()))
            .select(tags::id)
            .first(conn)
            .optional()?;
        conditions.push(format!("p.tag_id = {}", id.unwrap_or(0)));
    }
    if let Some(device) = &filter.device {
        conditions.push(format!(
            "p.device_id = {}",
            device_number(conn, device)?.unwrap_or(0)
        ));
    }
    if let Some(package) = &filter.package {
        conditions.push(format!(
            "p.package_id = {}",
            package_number(conn, package)?.unwrap_or(0)
        ));
    }
    let rest = format!(
        "WHERE {} ORDER BY p.id DESC LIMIT {}",
        conditions.join(" AND "),
        page.limit()
    );
    Ok(page.paged(load(conn, &rest)?, |policy| policy.id.0))
}

fn device_number(conn: &mut Conn, id: &DeviceId) -> Result<Option<i64>, Fault> {
    Ok(devices::table
        .filter(devices::name.eq(id.as_str()))
        .select(devices::id)
        .first(conn)
        .optional()?)
}

fn package_number(conn: &mut Conn, name: &PackageName) -> Result<Option<i64>, Fault> {
    Ok(packages::table
        .filter(packages::name.eq(name.as_str()))
        .select(packages::id)
        .first(conn)
        .optional()?)
}

/// What a policy refers to, by numbers.
#[derive(Clone, Copy)]
struct Refers {
    tag: Option<i64>,
    device: Option<i64>,
    package: Option<i64>,
}

impl Refers {
    /// The device is held, the tag is made when it is not there.
    fn of(conn: &mut Conn, subject: &PolicySubject, package: Option<&PackageName>) -> Result<Self, Fault> {
        let mut refers = Self {
            tag: None,
            device: None,
            package: None,
        };
        if let PolicySubject::Device(id) = subject {
            let held = device_queries::hold(conn, &BTreeSet::from([id.as_str()]))?;
            refers.device = Some(*held.get(id.as_str()).ok_or_else(|| device_queries::unknown(id))?);
        }
        if let Some(name) = package {
            let number = package_number(conn, name)?;
            refers.package = Some(number.ok_or_else(|| Error::not_found(format!("package {name}")))?);
        }
        if let PolicySubject::Tag(tag) = subject {
            refers.tag = Some(tag_queries::ensure(conn, tag)?);
        }
        Ok(refers)
    }

    /// The policies on the same subject.
    fn same_subject(self) -> String {
        let is = |column: &str, number: Option<i64>| match number {
            Some(number) => format!("p.{column} = {number}"),
            None => format!("p.{column} IS NULL"),
        };
        format!("{} AND {}", is("tag_id", self.tag), is("device_id", self.device))
    }
}

pub(crate) fn create(conn: &mut Conn, spec: &PolicySpec, actor: &Actor) -> Result<PolicyChange, Fault> {
    let refers = Refers::of(conn, &spec.subject, spec.package.as_ref())?;
    // From here on nobody else adds one: so the bounds hold.
    epochs::raise(conn, Epoch::Catalog)?;
    let siblings = load(conn, &format!("WHERE {}", refers.same_subject()))?;
    let same = |policy: &Policy| policy.spec == cleaned(spec);
    if let Some(policy) = siblings.iter().find(|policy| same(policy)) {
        return Ok(PolicyChange {
            policy: policy.clone(),
            changed: false,
        });
    }
    let all: i64 = policies::table.count().get_result(conn)?;
    let bounds = [
        (all, "policies", MAX_POLICIES),
        (
            siblings.len() as i64,
            "policies on this subject",
            MAX_POLICIES_PER_SUBJECT,
        ),
    ];
    for (there, what, limit) in bounds {
        let limit = limit as i64;
        if there >= limit {
            return Err(Error::TooMany { what, limit }.into());
        }
    }
    let policy = insert(conn, spec, refers, actor)?;
    note(conn, actor, "policy.create", &policy, None, Some(&policy))?;
    Ok(PolicyChange {
        policy,
        changed: true,
    })
}

/// As it comes back from the table.
fn cleaned(spec: &PolicySpec) -> PolicySpec {
    PolicySpec {
        remark: clean(&spec.remark),
        ..spec.clone()
    }
}

fn insert(conn: &mut Conn, spec: &PolicySpec, refers: Refers, actor: &Actor) -> Result<Policy, Fault> {
    let id: i64 = diesel::insert_into(policies::table)
        .values((
            policies::tag_id.eq(refers.tag),
            policies::device_id.eq(refers.device),
            policies::package_id.eq(refers.package),
            TermColumns::of(spec, actor),
        ))
        .returning(policies::id)
        .get_result(conn)?;
    get(conn, PolicyId(id))
}

/// What may change about a policy.
#[derive(Insertable, AsChangeset)]
#[diesel(table_name = policies, treat_none_as_null = true)]
struct TermColumns {
    max_version: Option<i64>,
    holds: bool,
    hold_until_at: Option<i64>,
    remark: String,
    created_by: String,
    created_at: i64,
}

impl TermColumns {
    /// With the person whose word it is from now on.
    fn of(spec: &PolicySpec, actor: &Actor) -> Self {
        let end: Option<DateTime<Utc>> = spec.terms.hold.and_then(Hold::ends_at);
        Self {
            max_version: spec.terms.max_version.map(domain::VersionCode::get),
            holds: spec.terms.hold.is_some(),
            hold_until_at: end.map(micros),
            remark: clean(&spec.remark),
            created_by: clean(&actor.subject),
            created_at: micros(actor.now),
        }
    }
}

pub(crate) fn change<F>(conn: &mut Conn, id: PolicyId, actor: &Actor, rule: &F) -> Result<PolicyChange, Fault>
where
    F: Fn(&Policy) -> Result<PolicySpec, domain::Error>,
{
    epochs::raise(conn, Epoch::Catalog)?;
    let before = get(conn, id)?;
    let spec = rule(&before).map_err(Error::Rule)?;
    if cleaned(&spec) == before.spec {
        return Ok(PolicyChange {
            policy: before,
            changed: false,
        });
    }
    let policy = set_terms(conn, &before, &spec, actor)?;
    note(
        conn,
        actor,
        "policy.change",
        &policy,
        Some(&before),
        Some(&policy),
    )?;
    Ok(PolicyChange {
        policy,
        changed: true,
    })
}

fn set_terms(conn: &mut Conn, of: &Policy, spec: &PolicySpec, actor: &Actor) -> Result<Policy, Fault> {
    diesel::update(policies::table.find(of.id.0))
        .set(TermColumns::of(spec, actor))
        .execute(conn)?;
    get(conn, of.id)
}

pub(crate) fn delete(conn: &mut Conn, id: PolicyId, actor: &Actor) -> Result<Policy, Fault> {
    epochs::raise(conn, Epoch::Catalog)?;
    let policy = get(conn, id)?;
    diesel::delete(policies::table.find(id.0)).execute(conn)?;
    note(conn, actor, "policy.delete", &policy, Some(&policy), None)?;
    Ok(policy)
}

pub(crate) fn set_hold(
    conn: &mut Conn,
    package: Option<&PackageName>,
    hold: Hold,
    remark: &str,
    actor: &Actor,
) -> Result<PolicyChange, Fault> {
    epochs::raise(conn, Epoch::Catalog)?;
    let spec = PolicySpec {
        subject: PolicySubject::Everybody,
        package: package.cloned(),
        terms: PolicyTerms {
            max_version: None,
            hold: Some(hold),
        },
        remark: remark.to_owned(),
    };
    let standing = holds_on_everybody(conn, package)?;
    let pure = standing
        .into_iter()
        .find(|policy| policy.spec.terms.max_version.is_none());
    let Some(before) = pure else {
        let refers = Refers::of(conn, &spec.subject, package)?;
        let policy = insert(conn, &spec, refers, actor)?;
        note(conn, actor, "hold.set", &policy, None, Some(&policy))?;
        return Ok(PolicyChange {
            policy,
            changed: true,
        });
    };
    if before.spec == cleaned(&spec) {
        return Ok(PolicyChange {
            policy: before,
            changed: false,
        });
    }
    let policy = set_terms(conn, &before, &spec, actor)?;
    note(conn, actor, "hold.set", &policy, Some(&before), Some(&policy))?;
    Ok(PolicyChange {
        policy,
        changed: true,
    })
}

pub(crate) fn lift_hold(
    conn: &mut Conn,
    package: Option<&PackageName>,
    actor: &Actor,
) -> Result<Vec<Policy>, Fault> {
    epochs::raise(conn, Epoch::Catalog)?;
    let standing = holds_on_everybody(conn, package)?;
    for policy in &standing {
        let after = if policy.spec.terms.max_version.is_some() {
            let mut spec = policy.spec.clone();
            spec.terms.hold = None;
            Some(set_terms(conn, policy, &spec, actor)?)
        } else {
            diesel::delete(policies::table.find(policy.id.0)).execute(conn)?;
            None
        };
        note(conn, actor, "hold.lift", policy, Some(policy), after.as_ref())?;
    }
    Ok(standing)
}

/// The policies on everybody for this very package, or for all packages, that name a hold.
fn holds_on_everybody(conn: &mut Conn, package: Option<&PackageName>) -> Result<Vec<Policy>, Fault> {
    let package = match package {
        Some(name) => format!("p.package_id = {}", package_number(conn, name)?.unwrap_or(0)),
        None => "p.package_id IS NULL".to_owned(),
    };
    load(
        conn,
        &format!("WHERE p.tag_id IS NULL AND p.device_id IS NULL AND p.holds AND {package} ORDER BY p.id"),
    )
}

/// The policies that hang on a tag.
pub(crate) fn of_tag(conn: &mut Conn, tag: i64) -> Result<Vec<PolicyId>, Fault> {
    let ids: Vec<i64> = policies::table
        .filter(policies::tag_id.eq(tag))
        .order(policies::id)
        .select(policies::id)
        .load(conn)?;
    Ok(ids.into_iter().map(PolicyId).collect())
}

/// Removes the policies on a device that is to be erased.
pub(crate) fn forget(conn: &mut Conn, device: i64) -> Result<(), Fault> {
    let removed = diesel::delete(policies::table.filter(policies::device_id.eq(device))).execute(conn)?;
    if removed > 0 {
        epochs::raise(conn, Epoch::Catalog)?;
    }
    Ok(())
}

/// A device's id stands in the target alone, where the log has a pseudonym for it.
fn note(
    conn: &mut Conn,
    actor: &Actor,
    action: &'static str,
    policy: &Policy,
    before: Option<&Policy>,
    after: Option<&Policy>,
) -> Result<(), Fault> {
    let target = match &policy.spec.subject {
        PolicySubject::Device(id) => format!("device/{id}"),
        _ => format!("policy/{}", policy.id),
    };
    let mut note = actor.note(action, target);
    note.before = before.map(facts);
    note.after = after.map(facts);
    audit::append(conn, &note)
}

fn facts(policy: &Policy) -> Value {
    let PolicySpec {
        subject,
        package,
        terms,
        remark,
    } = &policy.spec;
    let subject = match subject {
        PolicySubject::Everybody => "everybody".to_owned(),
        PolicySubject::Tag(tag) => format!("tag/{tag}"),
        PolicySubject::Device(_) => "device".to_owned(),
    };
    json!({
        "policy_id": policy.id,
        "subject": subject,
        "package_name": package,
        "max_version": terms.max_version,
        "hold": terms.hold.is_some(),
        "hold_until": terms.hold.and_then(Hold::ends_at),
        "remark": remark,
    })
}

fn unknown(id: PolicyId) -> Error {
    Error::not_found(format!("policy {id}"))
}
