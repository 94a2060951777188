import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type ChannelCredentials, credentials, experimental, ServerCredentials } from "@grpc/grpc-js";
import type { Config } from "../config.ts";

/** The files of mTLS; all or none. */
export type TlsFiles = Partial<Pick<Config, "tlsCert" | "tlsKey" | "tlsCa">>;

/** How this process proves who it is, and whom it believes. */
export interface Identity {
  server: ServerCredentials;
  channel: ChannelCredentials;
  close: () => void;
}

/** How often the files are read again: certificates are renewed while a process runs. */
const REREAD_MS = 60_000;

const PLAIN: Identity = {
  server: ServerCredentials.createInsecure(),
  channel: credentials.createInsecure(),
  close: () => undefined,
};

/**
 * mTLS from the files that the settings name, or plain text when they name none. The files are read again every minute; what
 * cannot be read or does not fit together then changes nothing. At the start it stops the process.
 */
export function openIdentity(files: TlsFiles, rereadMs = REREAD_MS): Identity {
  const { tlsCert, tlsKey, tlsCa } = files;
  if (tlsCert === undefined && tlsKey === undefined && tlsCa === undefined) return PLAIN;
  if (tlsCert === undefined || tlsKey === undefined || tlsCa === undefined) {
    throw new Error("WAYMARK_TLS_CERT, WAYMARK_TLS_KEY and WAYMARK_TLS_CA go together; set all three or none");
  }
  const provider = watch(() => read({ tlsCert, tlsKey, tlsCa }), rereadMs);
  return {
    server: experimental.createCertificateProviderServerCredentials(provider, provider, true),
    channel: experimental.createCertificateProviderChannelCredentials(provider, provider),
    close: provider.close,
  };
}

interface Material {
  certificate: Buffer;
  privateKey: Buffer;
  caCertificate: Buffer;
}

function read(files: { tlsCert: string; tlsKey: string; tlsCa: string }): Material {
  try {
    const material = {
      certificate: readFileSync(files.tlsCert),
      privateKey: readFileSync(files.tlsKey),
      caCertificate: readFileSync(files.tlsCa),
    };
    // Throws when they are no PEM, or when the key is not the certificate's.
    createSecureContext({ cert: material.certificate, key: material.privateKey, ca: material.caCertificate });
    return material;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the files of WAYMARK_TLS_CERT, WAYMARK_TLS_KEY and WAYMARK_TLS_CA cannot be used: ${why}`, {
      cause,
    });
  }
}

type Provider = experimental.CertificateProvider & { close: () => void };

/** grpc-js has one that watches files; it would take a half-written pair, and end the process with it. */
function watch(readNow: () => Material, everyMs: number): Provider {
  let material = readNow();
  const authorities = new Set<experimental.CaCertificateUpdateListener>();
  const identities = new Set<experimental.IdentityCertificateUpdateListener>();
  const timer = setInterval(() => {
    try {
      material = readNow();
    } catch {
      return;
    }
    for (const tell of authorities) tell(material);
    for (const tell of identities) tell(material);
  }, everyMs).unref();
  return {
    addCaCertificateListener: (tell) => {
      authorities.add(tell);
      process.nextTick(tell, material);
    },
    removeCaCertificateListener: (tell) => void authorities.delete(tell),
    addIdentityCertificateListener: (tell) => {
      identities.add(tell);
      process.nextTick(tell, material);
    },
    removeIdentityCertificateListener: (tell) => void identities.delete(tell),
    close: () => clearInterval(timer),
  };
}
