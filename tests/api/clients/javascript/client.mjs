// What a JavaScript program does with a cluster: `node client.mjs NAME` runs one of the functions below.
// CLIENT is the client's module; KUBECONFIG and NAMESPACE say where. Exits with 1 where something is not as it should be.

import assert from 'node:assert/strict';

const k8s = await import(process.env.CLIENT);
const namespace = process.env.NAMESPACE;
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

const configMap = (name, data = { a: 'b' }) => ({ metadata: { name, labels: { app: 'js' } }, data });
const deployment = {
  metadata: { name: 'web' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'c', image: 'nginx:1', resources: { requests: { cpu: '100m' } } }] },
    },
  },
};

async function until(condition, what) {
  for (const giveUp = Date.now() + 20000; !(await condition()); ) {
    assert(Date.now() < giveUp, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function objects() {
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap('one') });
  assert(made.metadata.uid);
  assert(made.metadata.creationTimestamp instanceof Date);
  const read = await core.readNamespacedConfigMap({ namespace, name: 'one' });
  assert.deepEqual(read.data, { a: 'b' });
  read.data.c = 'd';
  const replaced = await core.replaceNamespacedConfigMap({ namespace, name: 'one', body: read });
  assert.deepEqual(replaced.data, { a: 'b', c: 'd' });
  await assert.rejects(core.replaceNamespacedConfigMap({ namespace, name: 'one', body: made }), { code: 409 });
  await core.createNamespacedConfigMap({ namespace, body: configMap('two') });
  const listed = await core.listNamespacedConfigMap({ namespace, labelSelector: 'app=js', limit: 1 });
  assert.deepEqual(listed.items.map((item) => item.metadata.name), ['one']);
  assert.equal(listed.metadata.remainingItemCount ?? 1, 1);
  const rest = await core.listNamespacedConfigMap({
    namespace, labelSelector: 'app=js', limit: 1, _continue: listed.metadata._continue,
  });
  assert.deepEqual(rest.items.map((item) => item.metadata.name), ['two']);
  const gone = await core.deleteNamespacedConfigMap({ namespace, name: 'one' });
  assert.equal(gone.status, 'Success');
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'app=js' });
  assert.deepEqual((await core.listNamespacedConfigMap({ namespace, labelSelector: 'app=js' })).items, []);
}

async function errors() {
  const missing = await core.readNamespacedConfigMap({ namespace, name: 'none' }).catch((error) => error);
  assert(missing instanceof k8s.ApiException);
  assert.equal(missing.code, 404);
  assert.equal(JSON.parse(missing.body).reason, 'NotFound');
  assert.match(JSON.parse(missing.body).message, /configmaps "none" not found/);
  const invalid = { ...deployment, spec: { ...deployment.spec, selector: { matchLabels: { app: 'other' } } } };
  const refused = await apps.createNamespacedDeployment({ namespace, body: invalid }).catch((error) => error);
  assert.equal(refused.code, 422);
  assert.equal(JSON.parse(refused.body).details.causes[0].field, 'spec.template.metadata.labels');
}

async function patches() {
  await apps.createNamespacedDeployment({ namespace, body: deployment });
  const patch = (body, strategy) =>
    apps.patchNamespacedDeployment(
      { namespace, name: 'web', body, fieldManager: 'js' },
      k8s.setHeaderOptions('Content-Type', strategy),
    );
  const json = await patch([{ op: 'replace', path: '/spec/replicas', value: 1 }], k8s.PatchStrategy.JsonPatch);
  assert.equal(json.spec.replicas, 1);
  const merge = await patch({ metadata: { labels: { tier: 'front' } } }, k8s.PatchStrategy.MergePatch);
  assert.deepEqual(merge.metadata.labels, { tier: 'front' });
  const container = { name: 'c', image: 'nginx:2' };
  const strategic = await patch(
    { spec: { template: { spec: { containers: [container] } } } }, k8s.PatchStrategy.StrategicMergePatch,
  );
  assert.equal(strategic.spec.template.spec.containers[0].image, 'nginx:2');
  assert.equal(strategic.spec.template.spec.containers[0].resources.requests.cpu, '100m');
  const applied = await patch(
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { annotations: { note: 'x' } } },
    k8s.PatchStrategy.ServerSideApply,
  );
  assert.equal(applied.metadata.annotations.note, 'x');
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'web' });
  scale.spec.replicas = 3;
  delete scale.metadata.resourceVersion; // the controller writes too
  await apps.replaceNamespacedDeploymentScale({ namespace, name: 'web', body: scale });
  await until(
    async () => (await apps.readNamespacedDeploymentStatus({ namespace, name: 'web' })).status.readyReplicas === 3,
    'three replicas are ready',
  );
}

async function watch() {
  const before = await core.listNamespacedConfigMap({ namespace });
  const seen = [];
  let ended;
  const done = new Promise((resolve) => { ended = resolve; });
  const request = await new k8s.Watch(config).watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { labelSelector: 'app=js', resourceVersion: before.metadata.resourceVersion },
    (type, object) => seen.push([type, object.metadata.name]),
    ended,
  );
  await core.createNamespacedConfigMap({ namespace, body: configMap('w') });
  await core.patchNamespacedConfigMap(
    { namespace, name: 'w', body: { data: { a: 'c' } } },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
  );
  await core.deleteNamespacedConfigMap({ namespace, name: 'w' });
  await until(() => seen.length === 3, 'three events are seen');
  assert.deepEqual(seen, [['ADDED', 'w'], ['MODIFIED', 'w'], ['DELETED', 'w']]);
  request.abort();
  await done;
}

async function informer() {
  await core.createNamespacedConfigMap({ namespace, body: configMap('i1') });
  const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'app=js' });
  const made = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, 'app=js');
  const heard = [];
  for (const verb of ['add', 'update', 'delete']) made.on(verb, (obj) => heard.push(`${verb} ${obj.metadata.name}`));
  const failed = [];
  made.on('error', (error) => failed.push(error));
  await made.start();
  await until(() => heard.includes('add i1'), 'what was there is heard of');
  await core.createNamespacedConfigMap({ namespace, body: configMap('i2') });
  await until(() => heard.includes('add i2'), 'what comes is heard of');
  const second = await core.readNamespacedConfigMap({ namespace, name: 'i2' });
  await core.replaceNamespacedConfigMap({ namespace, name: 'i2', body: { ...second, data: { z: '1' } } });
  await until(() => heard.includes('update i2'), 'what changes is heard of');
  assert.equal(made.get('i2', namespace).data.z, '1');
  await core.deleteNamespacedConfigMap({ namespace, name: 'i1' });
  await until(() => heard.includes('delete i1'), 'what goes is heard of');
  assert.deepEqual(made.list(namespace).map((obj) => obj.metadata.name), ['i2']);
  assert.deepEqual(failed, []);
  await made.stop(); // which the client calls an error
}

async function dynamic() {
  const client = k8s.KubernetesObjectApi.makeApiClient(config);
  const apiVersion = `js-${namespace}.example.com/v1`;
  const group = apiVersion.split('/')[0];
  const name = `things.${group}`;
  await client.create({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList' },
      versions: [{
        name: 'v1', served: true, storage: true,
        schema: { openAPIV3Schema: { type: 'object', x_kubernetes_preserve_unknown_fields: true } },
      }],
    },
  });
  const definitions = config.makeApiClient(k8s.ApiextensionsV1Api);
  const established = (crd) => crd.status?.conditions?.some((c) => c.type === 'Established' && c.status === 'True');
  await until(
    async () => established(await definitions.readCustomResourceDefinition({ name })), 'the definition is established',
  );
  const thing = { apiVersion, kind: 'Thing', metadata: { name: 't', namespace }, spec: { size: 3 } };
  assert.equal((await client.create(thing)).spec.size, 3);
  assert.equal((await client.read(thing)).spec.size, 3);
  const larger = { ...thing, spec: { size: 4 } };
  const patched = await client.patch(larger, undefined, undefined, 'js', undefined, k8s.PatchStrategy.MergePatch);
  assert.equal(patched.spec.size, 4);
  assert.equal((await client.list(apiVersion, 'Thing', namespace)).items.length, 1);
  await client.delete(thing);
  const custom = config.makeApiClient(k8s.CustomObjectsApi);
  const none = await custom.listNamespacedCustomObject({ group, version: 'v1', namespace, plural: 'things' });
  assert.deepEqual(none.items, []);
  await definitions.deleteCustomResourceDefinition({ name });
}

const tests = { objects, errors, patches, watch, informer, dynamic };
await tests[process.argv[2]]();
process.exit(0);
