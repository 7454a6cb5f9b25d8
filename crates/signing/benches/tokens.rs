//! What a check costs: the device token is on the way of every poll.

use std::hint::black_box;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use tidegate_domain::{BuildId, DeviceId, Role, RolloutId};
use tidegate_signing::{
    CommandKeys, CommandVerifier, ExposeSecret, KeyRing, MasterKey, enroll_token_hash, new_enroll_token,
    sign_command,
};

fn setting() -> (KeyRing, DeviceId, DateTime<Utc>) {
    let master = MasterKey::generate().expect("a key");
    let device = DeviceId::parse("f2a74de452e6b438").expect("an id");
    let now = DateTime::from_timestamp(1_764_000_000, 0).expect("a time");
    (KeyRing::new(&master, None), device, now)
}

fn device_tokens(c: &mut Criterion) {
    let (ring, device, _) = setting();
    let token = ring.device_token(&device, 1);
    let token = token.expose_secret();
    c.bench_function("device token: verify", |b| {
        b.iter(|| ring.verify_device_token(black_box(token)));
    });
    let spare = MasterKey::generate().expect("a key");
    let rotating = KeyRing::new(&spare, Some(&spare));
    c.bench_function("device token: refuse, with two keys", |b| {
        b.iter(|| rotating.verify_device_token(black_box(token)));
    });
    c.bench_function("device token: make", |b| {
        b.iter(|| ring.device_token(black_box(&device), 1));
    });
}

fn downloads(c: &mut Criterion) {
    let (ring, device, now) = setting();
    let end = now + TimeDelta::hours(1);
    c.bench_function("download: sign and print", |b| {
        b.iter(|| {
            ring.sign_download(BuildId(42), RolloutId(7), black_box(device.as_str()), 1, end)
                .to_string()
        });
    });
    let query = ring.sign_download(BuildId(42), RolloutId(7), device.as_str(), 1, end);
    c.bench_function("download: verify", |b| {
        b.iter(|| ring.verify_download(BuildId(42), black_box(&query), 1, now));
    });
}

fn admin_tokens(c: &mut Criterion) {
    let (ring, _, now) = setting();
    let token = ring
        .admin_token("ada", Role::Operator, TimeDelta::hours(1), now)
        .expect("a token");
    let token = token.expose_secret();
    c.bench_function("admin token: verify", |b| {
        b.iter(|| ring.verify_admin_token(black_box(token), now));
    });
}

fn commands(c: &mut Criterion) {
    let (ring, device, now) = setting();
    let keys = ring.command_keys(&device, 0);
    c.bench_function("command: derive a device's key", |b| {
        b.iter(|| ring.command_keys(black_box(&device), 1));
    });
    c.bench_function("command: sign", |b| {
        b.iter(|| sign_command(&keys.primary, "update", black_box("req-1"), &device, now));
    });
    let command = sign_command(&keys.primary, "update", "req-1", &device, now).expect("a command");
    c.bench_function("command: verify", |b| {
        let agent = || CommandVerifier::new(device.clone(), CommandKeys::one(keys.primary.clone()));
        b.iter_batched_ref(
            agent,
            |agent| agent.verify(black_box(&command), now),
            criterion::BatchSize::SmallInput,
        );
    });
}

fn enrolment(c: &mut Criterion) {
    let (token, _) = new_enroll_token().expect("a token");
    c.bench_function("enrolment token: hash", |b| {
        b.iter(|| enroll_token_hash(black_box(token.expose_secret())));
    });
}

criterion_group!(
    benches,
    device_tokens,
    downloads,
    admin_tokens,
    commands,
    enrolment
);
criterion_main!(benches);
