import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "#runtime/config.ts";
import { startAllInOne } from "../../services/all-in-one.ts";
import { freePort } from "./ports.ts";

/** The admin key of every Waymark that tests start. */
export const ADMIN_KEY = "test-admin-key-0123456789abcdef";

/** A whole Waymark on a free port with a data folder of its own. */
export interface Waymark {
  url: string;
  data: string;
  /** What it said at the start. */
  said: string[];
  /** Resolves when everything that counts has done what is on the log now. */
  idle: () => Promise<void>;
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

/**
 * Starts Waymark, as one process or, where WAYMARK_TEST_WAY says so, as many. Rate limits are off unless the environment says
 * otherwise, and there is no demo.
 */
export async function startWaymark(env: Record<string, string> = {}): Promise<Waymark> {
  if (process.env.WAYMARK_TEST_WAY !== "processes") return startOneProcess(env);
  const { startManyProcesses } = await import("./many-processes.ts");
  return startManyProcesses(env);
}

async function startOneProcess(env: Record<string, string>): Promise<Waymark> {
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
    idle: running.idle,
    said,
    call,
    workspace: workspaceMaker(call),
    stop: async () => {
      await running.stop();
      if (env.WAYMARK_DATA === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Makes workspaces. */
export function workspaceMaker(call: ReturnType<typeof caller>): Waymark["workspace"] {
  return async (name) => {
    const { body } = await call("POST", "/waymark/v1/workspaces", { key: ADMIN_KEY, body: { name } });
    return { id: body.workspace.id, key: body.secret };
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
