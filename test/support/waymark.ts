import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "#runtime/config.ts";
import { type AllInOne, startAllInOne } from "../../services/all-in-one.ts";

/** The admin key of every Waymark that tests start. */
export const ADMIN_KEY = "test-admin-key-0123456789abcdef";

/** A whole Waymark on a free port with a data folder of its own. */
export interface Waymark {
  url: string;
  data: string;
  running: AllInOne;
  /** What it said at the start. */
  said: string[];
  /** A workspace of its own with a key for all scopes. */
  workspace: (name: string) => Promise<{ id: string; key: string }>;
  call: (method: string, path: string, given?: Call) => Promise<Answer>;
  stop: () => Promise<void>;
}

/** What a request has besides method and path. */
export interface Call {
  key?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** An answer with its body as text and, where it is JSON, read. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
  body: any;
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts Waymark. Rate limits are off unless the environment says otherwise, and there is no demo. */
export async function startWaymark(env: Record<string, string> = {}): Promise<Waymark> {
  const folder = env.WAYMARK_DATA ?? mkdtempSync(join(tmpdir(), "waymark-"));
  const port = await freePort();
  const said: string[] = [];
  const config = readConfig({
    PORT: String(port),
    WAYMARK_HOST: "127.0.0.1",
    WAYMARK_PUBLIC_URL: `http://127.0.0.1:${port}`,
    WAYMARK_DATA: folder,
    WAYMARK_ADMIN_KEY: ADMIN_KEY,
    WAYMARK_DEMO: "off",
    WAYMARK_RATE_LIMITS: "off",
    WAYMARK_LOG_LEVEL: "silent",
    ...env,
  });
  const fatal = (error: Error): void => {
    throw error;
  };
  const running = await startAllInOne(config, { say: (line) => said.push(line), fatal });
  const url = `http://127.0.0.1:${port}`;
  const call = caller(url);
  return {
    url,
    data: folder,
    running,
    said,
    call,
    workspace: async (name) => {
      const { body } = await call("POST", "/waymark/v1/workspaces", { key: ADMIN_KEY, body: { name } });
      return { id: body.workspace.id, key: body.secret };
    },
    stop: async () => {
      await running.stop();
      if (env.WAYMARK_DATA === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Makes requests to a base URL: a plain object goes as JSON, a text as it is. */
export function caller(url: string) {
  return async (method: string, path: string, { key, body, headers = {} }: Call = {}): Promise<Answer> => {
    const sent: Record<string, string> = { ...headers };
    if (key !== undefined) sent.authorization ??= `Bearer ${key}`;
    if (body !== undefined) sent["content-type"] ??= "application/json";
    const response = await fetch(`${url}${path}`, {
      method,
      headers: sent,
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
      redirect: "manual",
    });
    const text = await response.text();
    const isJson = text !== "" && /json/.test(response.headers.get("content-type") ?? "");
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
  };
}
