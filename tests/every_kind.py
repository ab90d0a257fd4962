"""A valid object of every built-in kind, as a client would send it: a start for properties that all kinds share."""

from __future__ import annotations

import base64
import copy
from typing import Any

from apimachinery import resources
from apimachinery.resources import Resource

Object = dict[str, Any]

_POD: Object = {
    "containers": [
        {
            "name": "c",
            "image": "example.com/image:1",
            "args": ["serve", "--fast"],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            ],
            "ports": [{"name": "web", "containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "readinessProbe": {"httpGet": {"port": "web"}},
        }
    ],
    "initContainers": [{"name": "i", "image": "example.com/image:1"}],
    "volumes": [
        {"name": "v", "emptyDir": {}},
        {"name": "w", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}},
    ],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "x"}},
        }
    ],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}}
            ]
        }
    },
}
_LABELS = {"app": "x"}
_SELECTOR = {"matchLabels": _LABELS}
_TEMPLATE: Object = {"metadata": {"labels": _LABELS}, "spec": _POD}
_JOB: Object = {"template": {"metadata": {"labels": _LABELS}, "spec": {**_POD, "restartPolicy": "Never"}}}
_RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["nosuch"]}
_WEBHOOK: Object = {
    "name": "a.example.com",
    "clientConfig": {"service": {"name": "s", "namespace": "n"}},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "failurePolicy": "Ignore",
    "timeoutSeconds": 1,
    "rules": [_RULE],
}
_MATCH = {"resourceRules": [_RULE]}
_ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
_SUBJECTS = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}]
_DEVICES: Object = {
    "devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "d.example.com", "count": 1}}]}
}

#: A request for a certificate of CN=bob, P-256; nothing secret came with it.
ANCHOR = """-----BEGIN CERTIFICATE-----
MIIBJDCBzKADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBmFuY2hvcjAg
Fw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowETEPMA0GA1UEAwwGYW5j
aG9yMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEq87qDK+WaRsSvookg/H2SIgX
ViEwvEda/h8lNfj6h/otnpZQc4Sr0Q1tJliM/14aiy63/OF10d/XvMB1VVuI0qMT
MBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB+FrdcMvgBtI0w
yvLOyeF3jZQFblikyIFDmhYyxHcNSgIgEgvYNqJwzFSFYpvF5Ptbxov5fj9BGOiv
0P92i/oiafg=
-----END CERTIFICATE-----
"""
_CSR = """-----BEGIN CERTIFICATE REQUEST-----
MIHKMHICAQAwEDEOMAwGA1UEAwwFYWxpY2UwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAAQ=
-----END CERTIFICATE REQUEST-----
"""

#: Bodies by (group, plural), without apiVersion, kind, name and namespace.
_BODIES: dict[tuple[str, str], Object] = {
    ("", "bindings"): {"target": {"kind": "Node", "name": "n"}},
    ("", "configmaps"): {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAEC"}},
    ("", "endpoints"): {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]},
    ("", "events"): {"involvedObject": {"kind": "Pod", "name": "p"}, "reason": "R", "message": "m"},
    ("", "limitranges"): {"spec": {"limits": [{"type": "Container", "default": {"cpu": "2"}}]}},
    ("", "namespaces"): {},
    ("", "nodes"): {
        "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    },
    ("", "persistentvolumeclaims"): {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    ("", "persistentvolumes"): {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/tmp/x"},
        }
    },
    ("", "pods"): {"spec": _POD},
    ("", "podtemplates"): {"template": _TEMPLATE},
    ("", "replicationcontrollers"): {"spec": {"replicas": 1, "selector": _LABELS, "template": _TEMPLATE}},
    ("", "resourcequotas"): {
        "spec": {
            "hard": {"count/nosuch.example.com": "1"},
            "scopeSelector": {"matchExpressions": [{"scopeName": "Terminating", "operator": "Exists"}]},
        }
    },
    ("", "secrets"): {"data": {"a": "MQ=="}, "stringData": {"b": "2"}},
    ("", "serviceaccounts"): {"imagePullSecrets": [{"name": "s"}], "secrets": [{"name": "s"}]},
    ("", "services"): {
        "spec": {
            "selector": _LABELS,
            "ports": [{"name": "a", "port": 80, "targetPort": "web"}, {"name": "b", "port": 81}],
        }
    },
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): {
        "spec": {
            "matchConstraints": _MATCH,
            "reinvocationPolicy": "Never",
            "failurePolicy": "Ignore",
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": 'Object{metadata: Object.metadata{labels: {"a": "b"}}}'
                    },
                }
            ],
        }
    },
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): {"spec": {"policyName": "p"}},
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): {"webhooks": [_WEBHOOK]},
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): {
        "spec": {
            "matchConstraints": _MATCH,
            "failurePolicy": "Ignore",
            "variables": [{"name": "v", "expression": "1"}],
            "validations": [{"expression": "object.metadata.name != 'bad'", "message": "bad"}],
        }
    },
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): {
        "spec": {"policyName": "p", "validationActions": ["Deny"]}
    },
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): {"webhooks": [_WEBHOOK]},
    ("apiextensions.k8s.io", "customresourcedefinitions"): {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "size": {"type": "integer", "default": 1},
                                        "names": {
                                            "type": "array",
                                            "x-kubernetes-list-type": "set",
                                            "items": {"type": "string"},
                                        },
                                        "parts": {
                                            "type": "array",
                                            "x-kubernetes-list-type": "map",
                                            "x-kubernetes-list-map-keys": ["name"],
                                            "items": {
                                                "type": "object",
                                                "required": ["name"],
                                                "properties": {
                                                    "name": {"type": "string"},
                                                    "value": {"x-kubernetes-int-or-string": True},
                                                },
                                            },
                                        },
                                        "free": {
                                            "type": "object",
                                            "x-kubernetes-preserve-unknown-fields": True,
                                        },
                                    },
                                    "x-kubernetes-validations": [
                                        {"rule": "!has(self.size) || self.size < 9"}
                                    ],
                                },
                                "status": {
                                    "type": "object",
                                    "properties": {"size": {"type": "integer"}},
                                },
                            },
                        }
                    },
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                    },
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                    "selectableFields": [{"jsonPath": ".spec.size"}],
                }
            ],
        },
    },
    ("apiregistration.k8s.io", "apiservices"): {
        "metadata": {"name": "v9.other.example.com"},
        "spec": {
            "group": "other.example.com",
            "version": "v9",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": "s", "namespace": "n"},
        },
    },
    ("apps", "controllerrevisions"): {"data": {"any": ["thing", 1, None]}, "revision": 1},
    ("apps", "daemonsets"): {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    ("apps", "deployments"): {"spec": {"replicas": 2, "selector": _SELECTOR, "template": _TEMPLATE}},
    ("apps", "replicasets"): {"spec": {"replicas": 2, "selector": _SELECTOR, "template": _TEMPLATE}},
    ("apps", "statefulsets"): {
        "spec": {
            "selector": _SELECTOR,
            "template": _TEMPLATE,
            "serviceName": "s",
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "d"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Gi"}},
                    },
                }
            ],
        }
    },
    ("authentication.k8s.io", "selfsubjectreviews"): {},
    ("authentication.k8s.io", "tokenreviews"): {"spec": {"token": "t", "audiences": ["a"]}},
    ("authorization.k8s.io", "localsubjectaccessreviews"): {
        "spec": {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    },
    ("authorization.k8s.io", "selfsubjectaccessreviews"): {
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    },
    ("authorization.k8s.io", "selfsubjectrulesreviews"): {"spec": {"namespace": "default"}},
    ("authorization.k8s.io", "subjectaccessreviews"): {
        "spec": {"user": "bob", "groups": ["g"], "nonResourceAttributes": {"verb": "get", "path": "/x"}}
    },
    ("autoscaling", "horizontalpodautoscalers"): {
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 3,
        }
    },
    ("batch", "cronjobs"): {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": _JOB}}},
    ("batch", "jobs"): {"spec": {**_JOB, "completions": 2, "suspend": True}},
    ("certificates.k8s.io", "certificatesigningrequests"): {
        "spec": {
            "request": base64.b64encode(_CSR.encode()).decode(),
            "signerName": "example.com/signer",
            "usages": ["client auth"],
        }
    },
    ("certificates.k8s.io", "clustertrustbundles"): {"spec": {"trustBundle": ANCHOR}},
    ("coordination.k8s.io", "leases"): {
        "spec": {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        }
    },
    ("discovery.k8s.io", "endpointslices"): {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}],
        "ports": [{"name": "a", "port": 80}],
    },
    ("events.k8s.io", "events"): {
        "regarding": {"kind": "Pod", "name": "p"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/c",
        "reportingInstance": "i",
        "action": "A",
        "reason": "R",
        "type": "Normal",
    },
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): {
        "spec": {
            "priorityLevelConfiguration": {"name": "global-default"},
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": "nobody"}}],
                    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/x"]}],
                }
            ],
        }
    },
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): {
        "spec": {
            "type": "Limited",
            "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Queue", "queuing": {}}},
        }
    },
    ("networking.k8s.io", "ingressclasses"): {"spec": {"controller": "example.com/c"}},
    ("networking.k8s.io", "ingresses"): {
        "spec": {
            "rules": [
                {
                    "host": "a.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "s", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ],
            "tls": [{"hosts": ["a.example.com"], "secretName": "t"}],
        }
    },
    ("networking.k8s.io", "ipaddresses"): {
        "metadata": {"name": "192.0.2.7"},
        "spec": {"parentRef": {"resource": "services", "name": "s", "namespace": "n"}},
    },
    ("networking.k8s.io", "networkpolicies"): {
        "spec": {
            "podSelector": _SELECTOR,
            "ingress": [
                {
                    "ports": [{"port": 80, "endPort": 90}],
                    "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                }
            ],
        }
    },
    ("networking.k8s.io", "servicecidrs"): {"spec": {"cidrs": ["192.0.2.0/24"]}},
    ("node.k8s.io", "runtimeclasses"): {"handler": "runc", "overhead": {"podFixed": {"cpu": "10m"}}},
    ("policy", "poddisruptionbudgets"): {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    ("rbac.authorization.k8s.io", "clusterrolebindings"): {"roleRef": _ROLE, "subjects": _SUBJECTS},
    ("rbac.authorization.k8s.io", "clusterroles"): {
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    },
    ("rbac.authorization.k8s.io", "rolebindings"): {"roleRef": _ROLE, "subjects": _SUBJECTS},
    ("rbac.authorization.k8s.io", "roles"): {
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    },
    ("resource.k8s.io", "deviceclasses"): {
        "metadata": {"name": "d.example.com"},
        "spec": {"selectors": [{"cel": {"expression": "device.driver == 'd'"}}]},
    },
    ("resource.k8s.io", "resourceclaims"): {"spec": _DEVICES},
    ("resource.k8s.io", "resourceclaimtemplates"): {"spec": {"spec": _DEVICES}},
    ("resource.k8s.io", "resourceslices"): {
        "spec": {
            "driver": "d.example.com",
            "nodeName": "n",
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "a", "attributes": {"model": {"string": "m"}}}],
        }
    },
    ("scheduling.k8s.io", "priorityclasses"): {"value": 10, "description": "ten"},
    ("storage.k8s.io", "csidrivers"): {"metadata": {"name": "d.example.com"}, "spec": {}},
    ("storage.k8s.io", "csinodes"): {
        "spec": {"drivers": [{"name": "d.example.com", "nodeID": "n", "topologyKeys": ["zone"]}]}
    },
    ("storage.k8s.io", "csistoragecapacities"): {"storageClassName": "s", "capacity": "1Gi"},
    ("storage.k8s.io", "storageclasses"): {"provisioner": "example.com/p", "parameters": {"a": "b"}},
    ("storage.k8s.io", "volumeattachments"): {
        "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    },
    ("storage.k8s.io", "volumeattributesclasses"): {
        "driverName": "d.example.com",
        "parameters": {"a": "b"},
    },
}

#: Resources that are stored, so all verbs make sense on them.
STORED: tuple[Resource, ...] = tuple(r for r in resources.BUILTIN if not r.virtual)


def example(resource: Resource, *, namespace: str = "default", name: str = "x") -> Object:
    """A valid object of a kind, the caller's own. Kinds whose names follow from the rest keep theirs."""
    body = (
        copy.deepcopy(_BODIES[resource.group, resource.plural]) if resource.kind != "ComponentStatus" else {}
    )
    metadata: Object = {"name": name, **body.pop("metadata", {})}
    if resource.namespaced:
        metadata["namespace"] = namespace
        about = body.get("involvedObject") or body.get("regarding")
        if about is not None:
            about["namespace"] = namespace
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}
