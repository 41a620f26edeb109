//! `http` templates and artifacts behind a URL.

use super::*;

#[test]
fn a_request_names_whom_it_asks_and_reads_as_a_leaf() {
    expect(
        "{name: main, steps: [[{name: a, template: ask}], [{name: b, template: echo, arguments: {parameters: [{name: m, value: '{{steps.a.outputs.result}}'}]}}]]},\n{name: ask, http: {url: 'https://x/{{workflow.name}}', headers: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}], timeoutSeconds: 5, successCondition: 'response.statusCode == 200'}},\n{name: echo, inputs: {parameters: [{name: m}]}, container: {image: 'busybox:1', args: ['{{inputs.parameters.m}}']}}",
        &[],
    );
    expect("{name: main, http: {method: GET}}", &["E108 5: templates.main.http.url is required"]);
    expect(
        "{name: main, http: {url: 'ftp://x', timeoutSeconds: 0, successCondition: 'response.', body: a, bodyFrom: {bytes: '!'}, headers: [{value: x}]}}",
        &[
            "E108 5: templates.main.http.url \"ftp://x\": unsupported protocol scheme",
            "E408 5: templates.main.http.timeoutSeconds 0 is no time that a request can be given",
            "E203 5: templates.main.http.successCondition cannot be read: unexpected end of expression",
            "E108 5: templates.main.http has both body and bodyFrom",
            "E108 5: templates.main.http.bodyFrom.bytes is not base64",
            "E108 5: templates.main.http.headers[0].name is required",
        ],
    );
    expect("{name: main, http: {url: 'http://x', retries: 3}}", &["E005 5: unknown field \"retries\""]);
}

#[test]
fn an_artifact_may_be_a_repository() {
    expect(
        "{name: main, inputs: {artifacts: [{name: a, path: /a, git: {repo: 'https://x/a', revision: v1, depth: 1, fetch: ['refs/x:refs/x'], usernameSecret: {name: s, key: u}, passwordSecret: {name: s, key: p}, insecureSkipTLS: true, disableSubmodules: true, singleBranch: true, branch: main}}, {name: b, path: /b, git: {repo: 'git@x:a.git', sshPrivateKeySecret: {name: s, key: k}, insecureIgnoreHostKey: true}}]}, container: {image: 'x:1'}}",
        &[],
    );
    expect(
        "{name: main, inputs: {artifacts: [{name: a, path: /a, git: {revision: v1}}, {name: b, path: /b, git: {repo: 'ext://x', singleBranch: true}}]}, outputs: {artifacts: [{name: o, path: /o, git: {repo: 'https://x'}}]}, container: {image: 'x:1'}}",
        &[
            "E303 5: a.git.repo is required",
            "E303 5: b.git: single branch mode without a branch specified",
            "E108 5: b.git.repo \"ext://x\": unsupported protocol scheme",
            "E303 5: templates.main.outputs.artifacts.o.git is not valid in outputs",
        ],
    );
}

#[test]
fn an_artifact_may_lie_behind_a_url() {
    expect(
        "{name: main, inputs: {artifacts: [{name: a, path: /a, mode: 0755, http: {url: 'https://x/a', headers: [{name: H, value: v}], auth: {basicAuth: {usernameSecret: {name: s, key: u}, passwordSecret: {name: s, key: p}}}}}]}, outputs: {artifacts: [{name: o, path: /o, archive: {zip: {}}, http: {url: 'https://x/o'}}]}, container: {image: 'x:1'}}",
        &[],
    );
    expect(
        "{name: main, inputs: {artifacts: [{name: a, path: /a, mode: 0o1777, http: {url: x}}, {name: b, path: /b, http: {}}, {name: c, path: /c, http: {url: 'http://x', auth: {oauth2: {}}}}]}, container: {image: 'x:1'}}",
        &[
            "E303 5: a.mode 1777 is no file mode between 0 and 0777",
            "E108 5: a.http.url \"x\": unsupported protocol scheme",
            "E303 5: b.http.url is required",
            "E601 5: `oauth2` is not supported yet",
        ],
    );
}
