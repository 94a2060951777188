import type { MessagePort } from "node:worker_threads";
import type { SqliteStore } from "../store.sqlite.ts";
import type { WriteCall } from "./engine.ts";
import { type PackedFailure, packFailure } from "./failure.ts";

/** What the remote store asks. */
export interface Ask {
  number: number;
  call: WriteCall | "ping";
}

/** The answer to the ask of the same number. Answers travel in lists. */
export interface Reply {
  number: number;
  value?: unknown;
  failure?: PackedFailure;
}

/**
 * Answers the remote store at the other end of the port until that end closes. Writes that arrive together share one
 * transaction, each with its own outcome. The store stays open: who opened it closes it.
 */
export function serveStoreWrites(store: SqliteStore, port: MessagePort): void {
  let replies: Reply[] = [];
  const post = () => {
    const list = replies;
    replies = [];
    port.postMessage(list);
  };
  const reply = (one: Reply) => {
    if (replies.length === 0) queueMicrotask(post);
    replies.push(one);
  };
  port.on("message", ({ number, call }: Ask) => {
    const answer = call === "ping" ? store.ping() : store.send(call);
    answer.then(
      (value) => reply({ number, value }),
      (error) => reply({ number, failure: packFailure(error) }),
    );
  });
}
