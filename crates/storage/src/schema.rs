//! The tables as diesel sees them, on both engines. What the columns mean stands in the migrations.

diesel::table! {
    packages (id) {
        id -> BigInt,
        name -> Text,
        signers_json -> Nullable<Text>,
        allow_debuggable -> Bool,
        created_at -> BigInt,
        next_slice_start -> BigInt,
        approval -> Text,
        approval_request_json -> Nullable<Text>,
        plan_json -> Nullable<Text>,
        gate_json -> Nullable<Text>,
    }
}

diesel::table! {
    builds (id) {
        id -> BigInt,
        package_id -> BigInt,
        version_code -> BigInt,
        version_name -> Text,
        sha256 -> Binary,
        size -> BigInt,
        schemes_json -> Text,
        lineage_json -> Text,
        warnings_json -> Text,
        min_sdk -> BigInt,
        target_sdk -> BigInt,
        abis_json -> Text,
        debuggable -> Bool,
        notes -> Text,
        build_type -> Text,
        ci_run_id -> Text,
        git_sha -> Text,
        uploaded_by -> Text,
        uploaded_at -> BigInt,
        installability_json -> Nullable<Text>,
        profile_json -> Nullable<Text>,
        deleted_at -> Nullable<BigInt>,
        barrier -> Bool,
        min_from_version -> Nullable<BigInt>,
    }
}

diesel::table! {
    build_signers (build_id, from_sdk) {
        build_id -> BigInt,
        from_sdk -> BigInt,
        to_sdk -> BigInt,
        fingerprint -> Binary,
    }
}

diesel::table! {
    rollouts (id) {
        id -> BigInt,
        package_id -> BigInt,
        build_id -> BigInt,
        state -> Text,
        is_current -> Bool,
        serving -> Bool,
        percent_hundredths -> Integer,
        salt -> Nullable<Text>,
        audience_json -> Text,
        wifi_only -> Bool,
        must_install -> Bool,
        retry_generation -> BigInt,
        previous_id -> Nullable<BigInt>,
        rolled_back_from -> Nullable<BigInt>,
        created_by -> Text,
        created_at -> BigInt,
        takes_back_version -> Nullable<BigInt>,
        name -> Text,
        priority -> BigInt,
        revision -> BigInt,
        slice_start -> BigInt,
        slice_width -> BigInt,
        experiment_id -> Nullable<BigInt>,
        download_calendar -> Nullable<Text>,
        install_calendar -> Nullable<Text>,
        ignore_freeze -> Bool,
        plan_json -> Nullable<Text>,
        consent_json -> Text,
        keep_previous -> Bool,
        install_when -> Text,
        install_deadline_at -> Nullable<BigInt>,
        gate_json -> Nullable<Text>,
    }
}

diesel::table! {
    gates (rollout_id) {
        rollout_id -> BigInt,
        looked_at -> BigInt,
        state_json -> Text,
        facts_json -> Text,
    }
}

diesel::table! {
    rollout_events (id) {
        id -> BigInt,
        rollout_id -> BigInt,
        at -> BigInt,
        actor -> Text,
        action -> Text,
        state -> Text,
        phase -> Nullable<Text>,
        step -> Nullable<BigInt>,
        percent_hundredths -> Integer,
        remark -> Nullable<Text>,
    }
}

diesel::table! {
    calendars (name) {
        name -> Text,
        terms_json -> Text,
        revision -> BigInt,
        created_by -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    experiments (id) {
        id -> BigInt,
        package_id -> BigInt,
        name -> Text,
        priority -> BigInt,
        audience_json -> Text,
        salt -> Nullable<Text>,
        slice_start -> BigInt,
        holdout_start -> Nullable<BigInt>,
        holdout_width -> Nullable<BigInt>,
        created_by -> Text,
        created_at -> BigInt,
        concluded_by -> Nullable<Text>,
        concluded_at -> Nullable<BigInt>,
        winner_build_id -> Nullable<BigInt>,
        winner_percent_hundredths -> Nullable<Integer>,
    }
}

diesel::table! {
    deployment_stats (build_id) {
        build_id -> BigInt,
        total_checks -> BigInt,
        total_eligible -> BigInt,
        total_downloads -> BigInt,
        installs_success -> BigInt,
        installs_failed -> BigInt,
        verify_failed -> BigInt,
        last_updated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rollout_stats (rollout_id, build_id) {
        rollout_id -> BigInt,
        build_id -> BigInt,
        total_checks -> BigInt,
        total_eligible -> BigInt,
        total_downloads -> BigInt,
        installs_success -> BigInt,
        installs_failed -> BigInt,
        verify_failed -> BigInt,
        last_updated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rollout_stat_hours (rollout_id, build_id, hour_at) {
        rollout_id -> BigInt,
        build_id -> BigInt,
        hour_at -> BigInt,
        total_checks -> BigInt,
        total_eligible -> BigInt,
        total_downloads -> BigInt,
        installs_success -> BigInt,
        installs_failed -> BigInt,
        verify_failed -> BigInt,
    }
}

diesel::table! {
    deployment_stat_hours (build_id, hour_at) {
        build_id -> BigInt,
        hour_at -> BigInt,
        total_checks -> BigInt,
        total_eligible -> BigInt,
        total_downloads -> BigInt,
        installs_success -> BigInt,
        installs_failed -> BigInt,
        verify_failed -> BigInt,
    }
}

diesel::table! {
    devices (id) {
        id -> BigInt,
        name -> Text,
        alias -> Nullable<Text>,
        alias_key -> Nullable<Text>,
        model -> Nullable<Text>,
        manufacturer -> Nullable<Text>,
        sdk -> Nullable<BigInt>,
        android_version -> Nullable<Text>,
        region -> Nullable<Text>,
        tags_json -> Text,
        fcm_token -> Nullable<Text>,
        fcm_token_at -> Nullable<BigInt>,
        token_generation -> BigInt,
        enrolled_at -> BigInt,
        last_seen_at -> Nullable<BigInt>,
        polled_json -> Nullable<Text>,
        token_epoch -> BigInt,
        retired_at -> Nullable<BigInt>,
        inactive_at -> Nullable<BigInt>,
        story_removed -> Bool,
        pseudonym -> Nullable<Text>,
        enrolled_generation -> BigInt,
        command_generation -> BigInt,
        enrollment_key_hash -> Nullable<Binary>,
        token_used_at -> Nullable<BigInt>,
        enrolment_allowed_until_at -> Nullable<BigInt>,
        refusal_noted_at -> Nullable<BigInt>,
        duplicate_seen_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    device_packages (device_id, package_id) {
        device_id -> BigInt,
        package_id -> BigInt,
        version_code -> BigInt,
        seen_at -> BigInt,
        cohort -> Nullable<Integer>,
        standing -> Nullable<Text>,
        crashes -> Nullable<BigInt>,
        counted -> Bool,
    }
}

diesel::table! {
    device_builds (device_id, build_id) {
        device_id -> BigInt,
        build_id -> BigInt,
        offered_at -> Nullable<BigInt>,
        downloaded_at -> Nullable<BigInt>,
        verify_failed_at -> Nullable<BigInt>,
        install_failed_at -> Nullable<BigInt>,
        installed_at -> Nullable<BigInt>,
        failure_generation -> BigInt,
        failures -> BigInt,
        reports -> BigInt,
        last_status -> Nullable<Text>,
        last_reason -> Nullable<Text>,
        last_at -> Nullable<BigInt>,
        rejected_generation -> Nullable<BigInt>,
        rejected_until_at -> Nullable<BigInt>,
        offered_rollout_id -> Nullable<BigInt>,
        rejection_epoch -> BigInt,
    }
}

diesel::table! {
    device_rollouts (device_id, rollout_id, build_id) {
        device_id -> BigInt,
        rollout_id -> BigInt,
        build_id -> BigInt,
        offered_at -> Nullable<BigInt>,
        downloaded_at -> Nullable<BigInt>,
        verify_failed_at -> Nullable<BigInt>,
        install_failed_at -> Nullable<BigInt>,
        installed_at -> Nullable<BigInt>,
        last_status -> Nullable<Text>,
        last_reason -> Nullable<Text>,
        last_at -> Nullable<BigInt>,
        gate_segment -> Nullable<BigInt>,
        gate_step -> Nullable<BigInt>,
        begun_at -> Nullable<BigInt>,
        sent_at -> Nullable<BigInt>,
        failed_at -> Nullable<BigInt>,
        troubled_at -> Nullable<BigInt>,
        succeeded_at -> Nullable<BigInt>,
        confirmed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    patches (build_id, base_id) {
        build_id -> BigInt,
        base_id -> BigInt,
        state -> Text,
        reason -> Nullable<Text>,
        devices -> BigInt,
        size -> Nullable<BigInt>,
        sha256 -> Nullable<Binary>,
        wanted_at -> BigInt,
        made_at -> Nullable<BigInt>,
        took_ms -> Nullable<BigInt>,
        attempts -> BigInt,
        retry_at -> Nullable<BigInt>,
        holder -> Nullable<Text>,
        until_at -> Nullable<BigInt>,
        unwanted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    device_patches (device_id, rollout_id, build_id) {
        device_id -> BigInt,
        rollout_id -> BigInt,
        build_id -> BigInt,
        retry_generation -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        size -> Nullable<BigInt>,
    }
}

diesel::table! {
    gate_counts (rollout_id, segment, step) {
        rollout_id -> BigInt,
        segment -> BigInt,
        step -> BigInt,
        reached -> BigInt,
        begun -> BigInt,
        sent -> BigInt,
        failed -> BigInt,
        corrupt -> BigInt,
        in_trouble -> BigInt,
        confirmed -> BigInt,
        watched -> BigInt,
    }
}

diesel::table! {
    gate_members (rollout_id, device_id) {
        rollout_id -> BigInt,
        device_id -> BigInt,
        treated -> Bool,
        segment -> BigInt,
        step -> BigInt,
        entered_at -> BigInt,
        nudged -> Bool,
        dense -> Bool,
        takes_at -> BigInt,
        crashes -> Nullable<BigInt>,
        heard_at -> BigInt,
        lost_due_at -> Nullable<BigInt>,
        lost_short_at -> Nullable<BigInt>,
        lost_long_at -> Nullable<BigInt>,
        crashed_at -> Nullable<BigInt>,
        crash_counted -> Bool,
    }
}

diesel::table! {
    version_hours (package_id, hour_at, version_code) {
        package_id -> BigInt,
        hour_at -> BigInt,
        version_code -> BigInt,
        devices -> BigInt,
    }
}

diesel::table! {
    version_minutes (package_id, minute_at, version_code) {
        package_id -> BigInt,
        minute_at -> BigInt,
        version_code -> BigInt,
        devices -> BigInt,
    }
}

diesel::table! {
    build_minutes (build_id, minute_at) {
        build_id -> BigInt,
        minute_at -> BigInt,
        eligible -> BigInt,
        downloads -> BigInt,
        installed -> BigInt,
    }
}

diesel::table! {
    gate_readings (rollout_id, minute_at) {
        rollout_id -> BigInt,
        minute_at -> BigInt,
        failed -> BigInt,
        corrupt -> BigInt,
        lost -> Nullable<BigInt>,
        crashing -> Nullable<BigInt>,
        good -> Nullable<BigInt>,
    }
}

diesel::table! {
    rollout_reasons (build_id, rollout_id, status, reason) {
        rollout_id -> BigInt,
        build_id -> BigInt,
        status -> Text,
        reason -> Text,
        reports -> BigInt,
        last_at -> BigInt,
    }
}

diesel::table! {
    reports (id) {
        id -> BigInt,
        device_id -> BigInt,
        build_id -> BigInt,
        status -> Text,
        retry_generation -> BigInt,
        request_id -> Text,
        reason -> Nullable<Text>,
        android_status -> Nullable<Integer>,
        message -> Nullable<Text>,
        reported_at -> BigInt,
    }
}

diesel::table! {
    enroll_tokens (id) {
        id -> BigInt,
        hash -> Binary,
        uses -> BigInt,
        used -> BigInt,
        expires_at -> BigInt,
        created_by -> Text,
        note -> Text,
        created_at -> BigInt,
        allow_known -> Bool,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    enroll_token_hours (token_id, hour_at) {
        token_id -> BigInt,
        hour_at -> BigInt,
        enrolled -> BigInt,
        refused -> BigInt,
    }
}

diesel::table! {
    imported_devices (device_id) {
        device_id -> BigInt,
        previous_token -> Nullable<Text>,
        imported_at -> BigInt,
        tries -> BigInt,
        tries_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    enroll_token_uses (token_id, device_id) {
        token_id -> BigInt,
        device_id -> BigInt,
        used_at -> BigInt,
        generation -> BigInt,
    }
}

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        role -> Text,
        password_hash -> Text,
        created_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
        last_login_at -> Nullable<BigInt>,
        mac -> Nullable<Binary>,
    }
}

diesel::table! {
    account_generations (subject) {
        subject -> Text,
        generation -> BigInt,
        epoch -> BigInt,
    }
}

diesel::table! {
    ended_tokens (id) {
        id -> Text,
        expires_at -> BigInt,
        epoch -> BigInt,
    }
}

diesel::table! {
    service_accounts (id) {
        id -> BigInt,
        name -> Text,
        role -> Text,
        limits_json -> Nullable<Text>,
        created_by -> Text,
        created_at -> BigInt,
        removed_at -> Nullable<BigInt>,
        epoch -> BigInt,
        mac -> Nullable<Binary>,
    }
}

diesel::table! {
    admin_tokens (id) {
        id -> BigInt,
        token_id -> Text,
        subject -> Text,
        role -> Text,
        created_by -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit_log (seq) {
        seq -> BigInt,
        prev_hash -> Binary,
        hash -> Binary,
        at -> BigInt,
        actor -> Text,
        role -> Text,
        action -> Text,
        target -> Text,
        before_json -> Nullable<Text>,
        after_json -> Nullable<Text>,
        request_id -> Nullable<Text>,
        mac -> Nullable<Binary>,
    }
}

diesel::table! {
    record (id) {
        id -> BigInt,
        bare_entries -> BigInt,
        sealed_at -> BigInt,
        public_key -> Binary,
        mac -> Binary,
    }
}

diesel::table! {
    record_keys (master_key) {
        master_key -> Text,
        wrapped -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    restorations (id) {
        id -> BigInt,
        restored_at -> BigInt,
        restored_by -> Text,
        dismissed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    servers (id) {
        id -> Text,
        version -> Text,
        started_at -> BigInt,
        seen_at -> BigInt,
    }
}

diesel::table! {
    erased_devices (tag) {
        tag -> Binary,
        generation -> BigInt,
        epoch -> BigInt,
    }
}

diesel::table! {
    leases (name) {
        name -> Text,
        holder -> Text,
        until_at -> BigInt,
    }
}

diesel::table! {
    epochs (name) {
        name -> Text,
        value -> BigInt,
    }
}

diesel::table! {
    tags (id) {
        id -> BigInt,
        name -> Text,
        devices -> BigInt,
    }
}

diesel::table! {
    device_tags (device_id, tag_id) {
        device_id -> BigInt,
        tag_id -> BigInt,
    }
}

diesel::table! {
    tagged_devices (device_id) {
        device_id -> BigInt,
        epoch -> BigInt,
    }
}

diesel::table! {
    tag_changes (device_id, tag) {
        device_id -> BigInt,
        tag -> Text,
        is_given -> Bool,
        actor -> Text,
        changed_at -> BigInt,
    }
}

diesel::table! {
    policies (id) {
        id -> BigInt,
        tag_id -> Nullable<BigInt>,
        device_id -> Nullable<BigInt>,
        package_id -> Nullable<BigInt>,
        max_version -> Nullable<BigInt>,
        holds -> Bool,
        hold_until_at -> Nullable<BigInt>,
        remark -> Text,
        created_by -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    nudge_campaigns (id) {
        id -> BigInt,
        request_id -> Text,
        package_id -> Nullable<BigInt>,
        audience -> Text,
        named -> Bool,
        priority -> Text,
        ttl_s -> BigInt,
        state -> Text,
        suspended -> Nullable<Text>,
        created_by -> Text,
        idempotency_key -> Nullable<Text>,
        order_hash -> Binary,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
        followed_until_at -> BigInt,
    }
}

diesel::table! {
    nudge_deliveries (campaign_id, device_id) {
        campaign_id -> BigInt,
        device_id -> BigInt,
        state -> Text,
        reason -> Nullable<Text>,
        attempts -> BigInt,
        due_at -> BigInt,
        claimed_at -> Nullable<BigInt>,
        sent_at -> Nullable<BigInt>,
        polled_at -> Nullable<BigInt>,
        installed_at -> Nullable<BigInt>,
        acknowledged_at -> Nullable<BigInt>,
        action -> Nullable<Text>,
        outcome -> Nullable<Text>,
        message -> Nullable<Text>,
        finished_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    nudge_unknown_devices (campaign_id, name) {
        campaign_id -> BigInt,
        name -> Text,
    }
}

diesel::table! {
    nudge_counts (campaign_id, kind, reason) {
        campaign_id -> BigInt,
        kind -> Text,
        reason -> Text,
        count -> BigInt,
    }
}

diesel::joinable!(nudge_campaigns -> packages (package_id));
diesel::joinable!(nudge_deliveries -> devices (device_id));
diesel::joinable!(builds -> packages (package_id));
diesel::joinable!(build_signers -> builds (build_id));
diesel::joinable!(rollouts -> packages (package_id));
diesel::joinable!(rollouts -> builds (build_id));
diesel::joinable!(experiments -> packages (package_id));
diesel::joinable!(device_packages -> packages (package_id));
diesel::joinable!(device_packages -> devices (device_id));
diesel::joinable!(device_builds -> devices (device_id));
diesel::joinable!(device_builds -> builds (build_id));
diesel::joinable!(device_rollouts -> builds (build_id));
diesel::joinable!(reports -> devices (device_id));
diesel::joinable!(device_tags -> devices (device_id));
diesel::joinable!(device_tags -> tags (tag_id));
diesel::joinable!(tagged_devices -> devices (device_id));
diesel::joinable!(version_hours -> packages (package_id));
diesel::joinable!(version_minutes -> packages (package_id));
diesel::joinable!(rollout_events -> rollouts (rollout_id));
diesel::allow_tables_to_appear_in_same_query!(users, account_generations);
diesel::allow_tables_to_appear_in_same_query!(
    packages,
    builds,
    build_signers,
    rollouts,
    experiments,
    deployment_stats,
    devices,
    device_packages,
    device_builds,
    device_rollouts,
    reports,
    nudge_campaigns,
    nudge_deliveries,
    version_hours,
    version_minutes,
    rollout_events,
    tags,
    device_tags,
    tagged_devices,
);
