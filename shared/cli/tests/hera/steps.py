"""Steps beside each other and after each other, containers, a condition, retries and an exit handler."""

from hera.workflows import Container, Parameter, RetryStrategy, Step, Steps, Workflow, script


@script(image="python:3.11")
def flip(side: str):
    print(side)


with Workflow(generate_name="steps-", entrypoint="main", on_exit="bye") as workflow:
    say = Container(
        name="say",
        image="busybox:1",
        command=["echo"],
        args=["{{inputs.parameters.what}}"],
        inputs=[Parameter(name="what", default="nothing")],
        retry_strategy=RetryStrategy(limit="2"),
    )
    Container(name="bye", image="busybox:1", command=["echo", "bye {{workflow.status}}"])
    with Steps(name="main") as steps:
        coin = flip(arguments={"side": "heads"})
        with steps.parallel():
            Step(name="heads", template=say, when=f"{coin.result} == heads", arguments={"what": "it is heads"})
            Step(name="tails", template=say, when=f"{coin.result} == tails", arguments={"what": "it is tails"})
            Step(name="both", template=say, with_items=["a", "b"], arguments={"what": "{{item}}"})

print(workflow.to_yaml())
