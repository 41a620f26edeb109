"""Scripts in a DAG: parameters, results, an artifact, and a loop over a list that a step computed."""

from hera.workflows import DAG, Artifact, NoneArchiveStrategy, Parameter, Workflow, models as m, script


@script(image="python:3.11", outputs=Parameter(name="numbers", value_from=m.ValueFrom(path="/tmp/numbers")))
def numbers(count: int):
    import json

    with open("/tmp/numbers", "w") as file:
        json.dump(list(range(1, count + 1)), file)


@script(image="python:3.11", outputs=Artifact(name="square", path="/tmp/square", archive=NoneArchiveStrategy()))
def square(number: int):
    with open("/tmp/square", "w") as file:
        file.write(str(number * number))
    print(number * number)


@script(image="python:3.11", inputs=Artifact(name="text", path="/tmp/text"))
def show(squares: list):
    print("last", open("/tmp/text").read(), "of", sum(squares))


with Workflow(generate_name="dag-", entrypoint="main", arguments={"count": 3}) as workflow:
    with DAG(name="main"):
        first = numbers(arguments={"count": "{{workflow.parameters.count}}"})
        each = square(
            name="each", arguments={"number": "{{item}}"}, with_param=first.get_parameter("numbers")
        )
        last = square(name="last", arguments={"number": 9})
        shown = show(
            arguments=[last.get_artifact("square").with_name("text"), Parameter(name="squares", value=each.result)]
        )
        first >> each >> shown
        last >> shown

print(workflow.to_yaml())
