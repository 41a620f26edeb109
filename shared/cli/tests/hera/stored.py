"""What is stored: a template, a schedule that uses it, and a workflow that calls one template of it."""

from hera.workflows import CronWorkflow, DAG, Task, Workflow, WorkflowTemplate, models as m, script


@script(image="python:3.11")
def greet(who: str = "world"):
    print("hello", who)


with WorkflowTemplate(name="greetings", entrypoint="greet") as template:
    greet()

schedule = CronWorkflow(
    name="daily",
    schedules=["0 6 * * *"],
    timezone="Europe/Vienna",
    concurrency_policy="Forbid",
    workflow_template_ref=m.WorkflowTemplateRef(name="greetings"),
)

with Workflow(generate_name="calls-", entrypoint="main") as workflow:
    with DAG(name="main"):
        Task(name="moon", template_ref=m.TemplateRef(name="greetings", template="greet"), arguments={"who": "moon"})

print("---\n".join(each.to_yaml() for each in (template, schedule, workflow)))
