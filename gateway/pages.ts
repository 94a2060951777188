import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Exchange, type Sent, send } from "./exchange.ts";

/** What the small pages say. `welcome` says what its code says. */
const MESSAGES = {
  welcome: { title: "", text: "" },
  unknown: {
    title: "This code leads nowhere",
    text: "Nobody has a code with this address. Look whether it is spelled right, or scan it again.",
  },
  deleted: { title: "This code is gone", text: "Its owner has removed it for good." },
  paused: { title: "This code is taking a break", text: "Its owner has paused it. Try again another day." },
  unavailable: { title: "Just a moment", text: "We cannot look this code up right now. Try again in a few seconds." },
  nowhere: { title: "There is nothing here", text: "Look at /docs for what there is." },
} as const;

/** Pages that are files of their own. */
const FILES = ["landing", "docs", "finder"] as const;

/** A page for people. */
export interface PageAnswer {
  page: keyof typeof MESSAGES | (typeof FILES)[number];
  status: number;
  /** In place of what a small page says. */
  values?: { title: string; text: string };
  headers?: Record<string, string>;
}

/** The gateway's pages. */
export interface Pages {
  send: (exchange: Exchange, answer: PageAnswer) => Sent;
}

interface Template {
  html: string;
  policy: string;
}

/** Reads the pages. What they run and how they look stands in them; the policy of each allows exactly that. */
export function openPages(): Pages {
  const message = readTemplate("message");
  const files = new Map<string, Template>(FILES.map((name) => [name, readTemplate(name)]));
  return {
    send: (exchange, { page, status, values, headers }) => {
      const { html, policy } = files.get(page) ?? message;
      const said = values ?? (page in MESSAGES ? MESSAGES[page as keyof typeof MESSAGES] : undefined);
      const body = said === undefined ? html : fill(html, said);
      return send(exchange, {
        status,
        headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": policy, ...headers },
        body,
      });
    },
  };
}

function readTemplate(name: string): Template {
  const html = readFileSync(new URL(`./pages/${name}.html`, import.meta.url), "utf8");
  const scripts = inlineHashes(html, "script");
  const policy = [
    "default-src 'none'",
    `style-src ${inlineHashes(html, "style") || "'none'"}`,
    `script-src ${scripts || "'none'"}`,
    `connect-src ${scripts === "" ? "'none'" : "'self'"}`,
    "img-src 'self' data: https:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  return { html, policy };
}

/** Hashes of what stands between the tags, as a policy names them. */
function inlineHashes(html: string, tag: "script" | "style"): string {
  const blocks = html.matchAll(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`, "g"));
  return [...blocks].map(([, text = ""]) => `'sha256-${hash("sha256", text, "base64")}'`).join(" ");
}

/** Puts values in the place of `{{title}}` and `{{text}}`, as text. */
function fill(html: string, values: Readonly<Record<string, string>>): string {
  return html.replace(/\{\{(\w+)\}\}/g, (_whole, name: string) => escapeHtml(values[name] ?? ""));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Makes text safe between tags and in attributes. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] as string);
}
