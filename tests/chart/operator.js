// Holds what the chart makes for the Prometheus operator to the operator's schemas. Reads the documents
// on standard input and prints how many it has checked.
import { readFileSync } from "node:fs";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import { parseAllDocuments } from "yaml";

const kinds = { PrometheusRule, ServiceMonitor };
let checked = 0;
for (const document of parseAllDocuments(readFileSync(0, "utf8"))) {
  const value = document.toJS();
  if (!value?.apiVersion?.startsWith("monitoring.coreos.com/")) continue;
  new kinds[value.kind](value).validate();
  checked += 1;
}
console.log(checked);
