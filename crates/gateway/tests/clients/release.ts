// A whole release through the types that openapi-typescript generated: `release.js URL TOKEN APK APK`.
//
// The second file is a newer build of the same package. tsc refuses what the types don't allow, and whatever does not
// answer as described ends this with an error.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Manifest = components["schemas"]["UpdateManifest"];

const DEVICE = "generated-typescript";

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

// The answer's content, if it has this status.
function done<T>(answer: Answer<T>, status = 200): T {
  if (answer.response.status !== status) {
    throw new Error(`wanted ${status}, got ${answer.response.status}: ${JSON.stringify(answer.error)}`);
  }
  return answer.data as T;
}

function assert(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const [url, token, first, second] = process.argv.slice(2) as [string, string, string, string];
const caller = (bearer?: string) =>
  createClient<paths>({ baseUrl: url, headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } });
const operator = caller(token);

async function upload(path: string) {
  const file = new Blob([new Uint8Array(await readFile(path))], { type: "application/vnd.android.package-archive" });
  const answer = await operator.POST("/v1/apk/upload", {
    body: { file: "", notes: "from a generated client" },
    bodySerializer: (body) => {
      const form = new FormData();
      form.set("file", file, "app.apk");
      form.set("notes", body.notes ?? "");
      return form;
    },
  });
  return done(answer, 201);
}

async function enrolled() {
  const { enrollment_token } = done(await operator.POST("/v1/enrollment-tokens", { body: { uses: 1 } }), 201);
  const body = { device_id: DEVICE, enrollment_token, sdk: 33, model: "Pixel 8" };
  return caller(done(await caller().POST("/v1/agent/enroll", { body }), 201).device_token);
}

const device = await enrolled();
const [old, recent] = [await upload(first), await upload(second)];

async function poll(current_version_code: number, status = 200): Promise<Manifest> {
  const query = { device_id: DEVICE, package_name: old.package_name, current_version_code, sdk: 33, protocol: 2 };
  return done(await device.GET("/v1/agent/update", { params: { query } }), status) as Manifest;
}

async function fetched(manifest: Manifest) {
  const said = Object.fromEntries(new URL(manifest.download_url).searchParams);
  const query = { ...said, expires: Number(said.expires), rollout_id: Number(said.rollout_id) };
  const params = { path: { id: manifest.build_id }, query };
  const file = done(await caller().GET("/v1/apk/{id}/download", { params, parseAs: "arrayBuffer" }));
  const hash = createHash("sha256").update(new Uint8Array(file)).digest("hex");
  assert(hash === manifest.sha256, "another file");
}

async function tell(manifest: Manifest, status: components["schemas"]["ReportRequest"]["status"]) {
  const { build_id, rollout_id, offer, attempt } = manifest;
  const body = { build_id, rollout_id, offer, attempt, status, request_id: `${build_id}-${status}` };
  done(await device.POST("/v1/agent/report", { body }));
}

const id = (build: { build_id: number }) => ({ path: { id: build.build_id } });
done(await operator.POST("/v1/apk/{id}/promote", { params: id(old), body: { rollout_percent: 50 } }));
done(await operator.POST("/v1/apk/{id}/rollout", { params: id(old), body: { rollout_percent: 100 } }));
const manifest = await poll(0);
assert(manifest.build_id === old.build_id, "another build");
await fetched(manifest);
await tell(manifest, "downloaded");
await tell(manifest, "install_success");
const stats = done(await operator.GET("/v1/apk/{id}/deployment-stats", { params: id(old) }));
assert(stats.total_downloads === 1 && stats.installs_success === 1, JSON.stringify(stats));

done(await operator.POST("/v1/apk/{id}/promote", { params: id(recent), body: { rollout_percent: 100 } }));
done(await operator.POST("/v1/apk/{id}/pause", { params: id(recent) }));
await poll(old.version_code, 304);
done(await operator.POST("/v1/apk/{id}/resume", { params: id(recent) }));
assert((await poll(old.version_code)).build_id === recent.build_id, "the newer build was not offered");
done(await operator.POST("/v1/apk/rollback", { body: { build_id: recent.build_id } }));
await poll(old.version_code, 304);

assert(done(await operator.GET("/v1/rollouts")).items.length >= 2, "two rollouts");
assert(done(await operator.GET("/v1/audit/verify")).intact, "the record is intact");
