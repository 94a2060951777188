import { getOption } from "@bufbuild/protobuf";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { Audience, method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import type { Config } from "#runtime/config.ts";
import { type KeyClass, type RequestContext, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import type { Hosted } from "#runtime/host.ts";
import { as, internalContext, newId } from "#runtime/internal.ts";
import { openIdentity, type TlsFiles } from "#runtime/rpc/credentials.ts";
import { type GrpcServer, type GrpcServerOptions, startGrpcServer } from "#runtime/rpc/grpc-server.ts";
import type { Secrets } from "#runtime/secrets.ts";

/** What is served, to whom. */
interface Served {
  config: Pick<Config, "host" | "grpcPort"> & TlsFiles;
  hosted: Pick<Hosted, "methods" | "client">;
  secrets: Secrets;
  /** Names of the services behind this port; health answers for each. */
  names?: readonly string[];
  /** What health follows. Without it health says SERVING until the close. */
  ready?: () => Promise<{ ready: boolean }>;
  /** How often it is asked. Default 2 s. */
  everyMs?: number;
}

/** How long health says NOT_SERVING before callers are told to go. */
const NOTICE_MS = 250;

/**
 * Serves the hosted services over gRPC when a port is set. Callers are held to the same keys and scopes as in REST; what REST
 * gives to anyone needs a key here, since the limits by address stand at the gateway.
 */
export async function serveGrpc(given: Served & { config: { grpcPort: number } }): Promise<GrpcServer>;
export async function serveGrpc(given: Served): Promise<GrpcServer | undefined>;
export async function serveGrpc(given: Served): Promise<GrpcServer | undefined> {
  const { config, hosted, secrets, names = [], ready, everyMs = 2_000 } = given;
  if (config.grpcPort === undefined) return undefined;
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  const identity = openIdentity(config);
  const server = await startGrpcServer({
    address: `${host}:${config.grpcPort}`,
    methods: hosted.methods,
    key: secrets.key("envelope"),
    authenticate: authenticator(hosted.client),
    complete: (envelope) => ({ ...envelope, now: Date.now, newId }),
    credentials: identity.server,
    names,
    noticeMs: NOTICE_MS,
  });
  const close = (limitMs: number): Promise<void> => server.close(limitMs).finally(identity.close);
  const served = { ...server, close };
  return ready === undefined ? served : following(served, { ready, everyMs });
}

/** The server with its health held to what is ready, until it closes. */
function following(
  server: GrpcServer,
  { ready, everyMs }: { ready: () => Promise<{ ready: boolean }>; everyMs: number },
): GrpcServer {
  let isOpen = true;
  const look = async (): Promise<void> => {
    const isReady = await ready().then(
      (answer) => answer.ready,
      () => false,
    );
    if (isOpen) server.setServing(isReady);
  };
  const timer = setInterval(look, everyMs).unref();
  const close = (limitMs: number): Promise<void> => {
    isOpen = false;
    clearInterval(timer);
    return server.close(limitMs);
  };
  return { ...server, close };
}

function authenticator(client: Hosted["client"]): GrpcServerOptions["authenticate"] {
  const caller = as(internalContext(SYSTEM_WORKSPACE));
  return async (presented, method): Promise<RequestContext> => {
    const known = await client(AuthorityService).authenticate(presented, { ...caller, timeoutMs: 5_000 });
    const { scopes, audience } = getOption(method, methodRules);
    const isAllowed =
      audience === Audience.ANYONE ||
      known.scopes.includes("admin") ||
      scopes.some((one) => known.scopes.includes(one));
    if (!isAllowed) throw fail("PERMISSION_DENIED", { scope: scopes.join(" or ") || "admin" });
    return {
      principal: {
        workspace: known.workspaceId,
        keyId: known.keyId,
        keyName: known.keyName,
        keyClass: known.keyClass as KeyClass,
        scopes: known.scopes,
        test: known.test,
      },
      requestId: newId("req"),
      ip: presented.ip,
      userAgent: "",
      now: Date.now,
      newId,
    };
  };
}
