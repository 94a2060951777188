import type { HandlerContext } from "@connectrpc/connect";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Duck } from "./engine/duck.ts";
import type { Gate } from "./engine/gate.ts";
import type { Following } from "./following.ts";
import { type Floor, floorOf, type Narrowing, type Scope, scopeOf } from "./scope.ts";
import type { SettingsOf, WorkspaceSettings } from "./settings.ts";

/** What the handlers of this service work with. The engine opens at start, after the handlers are bound. */
export interface AnalyticsDeps extends Pick<ServiceDeps, "client" | "store" | "log" | "config" | "newId"> {
  engine: Gate<Duck>;
  publicUrl: string;
  settingsOf: SettingsOf;
  /** Waits for what the caller's workspace has just written. */
  following: Following;
}

/** Where to look: the engine, until when the caller waits, and what it asks about. */
export interface Asking {
  duck: Duck;
  signal: AbortSignal;
  scope: Scope;
}

/** A question of a caller, ready to be asked. */
export interface Question extends Asking {
  settings: WorkspaceSettings;
  /** Nothing before this is shown to the caller; undefined: all is. */
  floor: Floor | undefined;
}

/**
 * The question of a call, narrowed. Waits until the engine is ready and, for a moment, until it has what the caller's
 * workspace has just written; refuses a reversed range before that.
 */
export async function ask(own: AnalyticsDeps, handler: HandlerContext, narrow: Narrowing = {}): Promise<Question> {
  const context = contextOf(handler);
  scopeOf(context, narrow);
  const settings = await own.settingsOf(context.principal.workspace);
  const scope = scopeOf(context, narrow, settings.scansDays);
  const floor = floorOf(context, settings.scansDays);
  const duck = await own.engine.pass(handler.signal);
  await own.following.settled(handler, duck);
  return { scope, settings, floor, duck, signal: handler.signal };
}
