"""A whole release through the client that openapi-python-client generated: `release.py URL TOKEN APK APK`.

The second file is a newer build of the same package. Whatever does not answer as described ends this with an error.
"""

import hashlib
import sys
from urllib.parse import parse_qsl, urlsplit

from tidegate_client import AuthenticatedClient, Client
from tidegate_client.api.agent import check_update, download_build, enroll, report
from tidegate_client.api.audit import verify_audit
from tidegate_client.api.builds import get_deployment_stats, upload_build
from tidegate_client.api.devices import create_enrollment_token
from tidegate_client.api.rollouts import (
    adjust_rollout,
    list_rollouts,
    pause_rollout,
    promote,
    resume_rollout,
    roll_back,
)
from tidegate_client.models import (
    AdjustRolloutRequest,
    CreateEnrollmentTokenRequest,
    EnrollRequest,
    PromoteRequest,
    ReportRequest,
    ReportRequestStatus,
    RollBackRequest,
    UploadForm,
)
from tidegate_client.types import File

DEVICE = "generated-python"


def done(response, status=200):
    """The parsed answer, if it has this status."""
    if response.status_code != status:
        raise SystemExit(f"wanted {status}, got {response.status_code}: {response.content!r}")
    return response.parsed


def upload(operator, path):
    with open(path, "rb") as file:
        form = UploadForm(
            file=File(payload=file, file_name="app.apk", mime_type="application/vnd.android.package-archive"),
            notes="from a generated client",
        )
        return done(upload_build.sync_detailed(client=operator, body=form), 201)


def poll(device, package, version):
    return check_update.sync_detailed(
        client=device, device_id=DEVICE, package_name=package, current_version_code=version, sdk=33, protocol=2
    )


def enrolled(url, operator):
    wanted = CreateEnrollmentTokenRequest(uses=1)
    token = done(create_enrollment_token.sync_detailed(client=operator, body=wanted), 201)
    request = EnrollRequest(device_id=DEVICE, enrollment_token=token.enrollment_token, sdk=33, model="Pixel 8")
    answer = done(enroll.sync_detailed(client=Client(base_url=url), body=request), 201)
    return AuthenticatedClient(base_url=url, token=answer.device_token)


def fetched(url, manifest):
    query = dict(parse_qsl(urlsplit(manifest.download_url).query))
    for number in ("expires", "rollout_id"):
        query[number] = int(query[number])
    got = download_build.sync_detailed(manifest.build_id, client=Client(base_url=url), **query)
    done(got)
    assert hashlib.sha256(got.content).hexdigest() == manifest.sha256, "another file"


def tell(device, manifest, status):
    body = ReportRequest(
        build_id=manifest.build_id,
        status=status,
        rollout_id=manifest.rollout_id,
        offer=manifest.offer,
        attempt=manifest.attempt,
        request_id=f"{manifest.build_id}-{status.value}",
    )
    done(report.sync_detailed(client=device, body=body))


def main(url, token, first, second):
    operator = AuthenticatedClient(base_url=url, token=token)
    device = enrolled(url, operator)
    old, new = upload(operator, first), upload(operator, second)

    done(promote.sync_detailed(old.build_id, client=operator, body=PromoteRequest(rollout_percent=50)))
    done(adjust_rollout.sync_detailed(old.build_id, client=operator, body=AdjustRolloutRequest(rollout_percent=100)))
    manifest = done(poll(device, old.package_name, 0))
    assert manifest.build_id == old.build_id
    fetched(url, manifest)
    tell(device, manifest, ReportRequestStatus.DOWNLOADED)
    tell(device, manifest, ReportRequestStatus.INSTALL_SUCCESS)
    stats = done(get_deployment_stats.sync_detailed(old.build_id, client=operator))
    assert (stats.total_downloads, stats.installs_success) == (1, 1), stats

    done(promote.sync_detailed(new.build_id, client=operator, body=PromoteRequest(rollout_percent=100)))
    done(pause_rollout.sync_detailed(new.build_id, client=operator))
    done(poll(device, old.package_name, old.version_code), 304)
    done(resume_rollout.sync_detailed(new.build_id, client=operator))
    assert done(poll(device, old.package_name, old.version_code)).build_id == new.build_id
    done(roll_back.sync_detailed(client=operator, body=RollBackRequest(build_id=new.build_id)))
    done(poll(device, old.package_name, old.version_code), 304)

    assert len(done(list_rollouts.sync_detailed(client=operator)).items) >= 2
    assert done(verify_audit.sync_detailed(client=operator)).intact is True


main(*sys.argv[1:])
