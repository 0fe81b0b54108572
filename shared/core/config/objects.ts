/**
 * Kubernetes documents as far as ufes reads them: Ingress and IngressClass (networking.k8s.io/v1), Service and Secret
 * (v1), EndpointSlice (discovery.k8s.io/v1). Other fields are allowed and ignored; null means absent.
 */
import { type Static, Type } from 'typebox';

const text = (options: { readonly pattern?: string; readonly description?: string } = {}) => Type.String(options);
/** RFC 1123 subdomain: also safe as part of a file name. */
const objectName = text({
  pattern: '^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$',
  description: 'a lower-case name (letters, digits, "-", ".")',
});
const port = Type.Integer({ minimum: 1, maximum: 65535 });
const strings = Type.Record(Type.String(), Type.String());

const metadata = Type.Object({
  name: objectName,
  namespace: Type.Optional(objectName),
  creationTimestamp: Type.Optional(text()),
  labels: Type.Optional(strings),
  annotations: Type.Optional(strings),
});

const backend = Type.Object({
  service: Type.Optional(
    Type.Object({
      name: objectName,
      port: Type.Object({ number: Type.Optional(port), name: Type.Optional(text()) }),
    }),
  ),
  resource: Type.Optional(Type.Unknown()),
});

const ingressPath = Type.Object({
  path: Type.Optional(text()),
  pathType: Type.Union([Type.Literal('Exact'), Type.Literal('Prefix'), Type.Literal('ImplementationSpecific')]),
  backend,
});

export const ingressSchema = Type.Object({
  metadata,
  spec: Type.Object({
    ingressClassName: Type.Optional(text()),
    defaultBackend: Type.Optional(backend),
    tls: Type.Optional(
      Type.Array(Type.Object({ hosts: Type.Optional(Type.Array(text())), secretName: Type.Optional(objectName) })),
    ),
    rules: Type.Optional(
      Type.Array(
        Type.Object({
          host: Type.Optional(text()),
          http: Type.Optional(Type.Object({ paths: Type.Array(ingressPath) })),
        }),
      ),
    ),
  }),
});

export const ingressClassSchema = Type.Object({ metadata, spec: Type.Object({ controller: text() }) });

export const serviceObjectSchema = Type.Object({
  metadata,
  spec: Type.Object({
    type: Type.Optional(text()),
    ports: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.Optional(text()),
          port,
          protocol: Type.Optional(text()),
          targetPort: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
        }),
      ),
    ),
  }),
});

export const endpointSliceSchema = Type.Object({
  metadata,
  addressType: Type.Union([Type.Literal('IPv4'), Type.Literal('IPv6'), Type.Literal('FQDN')]),
  ports: Type.Optional(
    Type.Array(
      Type.Object({ name: Type.Optional(text()), port: Type.Optional(port), protocol: Type.Optional(text()) }),
    ),
  ),
  endpoints: Type.Optional(
    Type.Array(
      Type.Object({
        addresses: Type.Array(text()),
        conditions: Type.Optional(
          Type.Object({
            ready: Type.Optional(Type.Boolean()),
            serving: Type.Optional(Type.Boolean()),
            terminating: Type.Optional(Type.Boolean()),
          }),
        ),
      }),
    ),
  ),
});

export const secretSchema = Type.Object({
  metadata,
  type: Type.Optional(text()),
  data: Type.Optional(strings),
  stringData: Type.Optional(strings),
});

export type Ingress = Static<typeof ingressSchema>;
export type IngressClass = Static<typeof ingressClassSchema>;
export type ServiceObject = Static<typeof serviceObjectSchema>;
export type EndpointSlice = Static<typeof endpointSliceSchema>;
export type SecretObject = Static<typeof secretSchema>;
export type IngressBackend = Static<typeof backend>;

/** Kind → [apiVersion, schema, whether it lives in a namespace]. */
export const objectKinds = {
  Ingress: ['networking.k8s.io/v1', ingressSchema, true],
  IngressClass: ['networking.k8s.io/v1', ingressClassSchema, false],
  Service: ['v1', serviceObjectSchema, true],
  EndpointSlice: ['discovery.k8s.io/v1', endpointSliceSchema, true],
  Secret: ['v1', secretSchema, true],
} as const;

export type ObjectKind = keyof typeof objectKinds;

export interface ObjectOfKind {
  Ingress: Ingress;
  IngressClass: IngressClass;
  Service: ServiceObject;
  EndpointSlice: EndpointSlice;
  Secret: SecretObject;
}

/** `NAMESPACE/NAME`; of what has no namespace the name. */
export function objectKey(kind: ObjectKind, { namespace = 'default', name }: Ingress['metadata']): string {
  return objectKinds[kind][2] ? `${namespace}/${name}` : name;
}
