// The whole flow with types made of the document alone: upload, wait, job, wait, result, download, a problem, cancel.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./gristmill.js";

type Job = components["schemas"]["Job"];
type Problem = components["schemas"]["ProblemDetails"];

const CSV = "city,temperature\nOslo,4.5\nLima,19\nCairo,31\n";
const WAIT = { Prefer: "wait=10" };
const [, , baseUrl = "", key = ""] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });

/** An answer's body; a problem is thrown as what it is. */
function told<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.error !== undefined) throw new Error(`${answer.error.type}: ${answer.error.detail}`);
  assert(answer.data !== undefined);
  return answer.data;
}

async function settled(id: string): Promise<Job> {
  for (let tries = 0; tries < 12; tries++) {
    const job = told(await client.GET("/jobs/{job_id}", { params: { path: { job_id: id }, header: WAIT } }));
    if (job.finished_at !== null) return job;
  }
  throw new Error("the job did not end");
}

const uploaded = told(
  await client.POST("/datasets", {
    params: { query: { name: "towns.csv" } },
    headers: { "Content-Type": "text/csv" },
    body: CSV,
    bodySerializer: (body) => body,
  }),
);
assert("sha256" in uploaded, "what was sent is a dataset, not the beginning of an upload");
assert.equal(uploaded.sha256, createHash("sha256").update(CSV).digest("hex"));
const ingest = uploaded.links["ingest_job"]?.split("/").at(-1);
assert(ingest !== undefined);
assert.equal((await settled(ingest)).status, "completed");
const ready = told(await client.GET("/datasets/{dataset_id}", { params: { path: { dataset_id: uploaded.id } } }));
assert.deepEqual([ready.status, ready.rows_loaded], ["ready", 3]);

const submitted = told(
  await client.POST("/jobs", {
    body: {
      kind: "normalize",
      dataset_id: uploaded.id,
      params: { steps: [{ op: "scale", method: "minmax", columns: ["temperature"] }] },
    },
  }),
);
assert("created_at" in submitted, "not the plan of a job");
const done = await settled(submitted.id);
assert.equal(done.status, "completed");
const result = told(await client.GET("/jobs/{job_id}/result", { params: { path: { job_id: done.id } } }));
const downloaded = Buffer.from(await (await fetch(result.url)).arrayBuffer());
assert.equal(createHash("sha256").update(downloaded).digest("hex"), result.sha256);
const rows = told(await client.GET("/jobs/{job_id}/result/rows", { params: { path: { job_id: done.id } } }));
assert(typeof rows !== "string", "JSON, as nothing else was asked for");
assert.equal(rows.total_rows, 3);

// The params are told apart by the kind: those of another one do not compile.
const refused = await client.POST("/jobs", {
  body: {
    kind: "metrics",
    dataset_id: uploaded.id,
    // @ts-expect-error
    params: { steps: [] },
  },
});
assert.equal(refused.error?.status, 422);
assert.deepEqual(refused.error.errors?.map((fault) => fault.pointer), ["/params/steps"]);

const later = told(
  await client.POST("/jobs", {
    body: { kind: "metrics", dataset_id: uploaded.id, scheduled_at: "2999-01-01T00:00:00Z", reuse: "none" },
  }),
);
assert("created_at" in later);
const canceled = told(await client.POST("/jobs/{job_id}/cancel", { params: { path: { job_id: later.id } } }));
assert.equal(canceled.status, "canceled");
console.log("the flow is complete");
