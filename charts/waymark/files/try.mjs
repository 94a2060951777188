// Does what a customer does: makes a code, scans it, reads the scan back. With a development key, so that no number of the
// workspace changes. What it made is deleted at the end.
const { WAYMARK, WAYMARK_ADMIN_KEY: admin } = process.env;

async function call(method, path, { key, body, ok = [200, 201, 204], headers = {} } = {}) {
  const response = await fetch(WAYMARK + path, {
    method,
    redirect: "manual",
    signal: AbortSignal.timeout(10_000),
    headers: {
      ...headers,
      ...(key && { authorization: `Bearer ${key}` }),
      ...(body && { "content-type": "application/json" }),
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!ok.includes(response.status)) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text.startsWith("{") ? JSON.parse(text) : response;
}

async function until(what, check) {
  for (const end = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 250))) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not happen within 30 s`);
  }
}

const scopes = ["codes:read", "codes:write", "scans:read"];
const made = await call("POST", "/waymark/v1/keys", {
  key: admin,
  body: { name: "helm test", class: "development", scopes },
});
try {
  const key = made.secret;
  const destination = "https://example.com/menu";
  const code = await call("POST", "/v1/qpr-codes", { key, body: { name: "helm test", prompt: "Be kind.", destination } });
  console.log(`made the code ${code.id}`);
  const phone = { "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1" };
  const scan = await call("GET", `/s/${code.short_id}`, { ok: [302], headers: phone });
  if (scan.headers.get("location") !== destination) throw new Error(`it leads to ${scan.headers.get("location")}`);
  console.log(`scanned /s/${code.short_id}: it leads to ${destination}`);
  const path = `/v1/scans?qpr_code_id=${code.id}`;
  const read = await until("the scan", async () => {
    const { scans } = await call("GET", path, { key });
    return scans[0];
  });
  console.log(`read the scan ${read.id} back`);
  await call("DELETE", `/v1/qpr-codes/${code.id}`, { key });
} finally {
  await call("DELETE", `/waymark/v1/keys/${made.key.id}`, { key: admin });
}
console.log("Waymark works");
