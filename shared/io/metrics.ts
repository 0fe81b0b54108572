/** Metrics that services make; they register in ServiceContext.registry. */
export { Counter, Gauge, Histogram, Registry } from 'prom-client';
