"""The command ``trm push``: uploads a model to the Hugging Face hub."""


def push(folder: str, repository: str, *, private: bool = False, yes: bool = False) -> int:
    """Upload a folder of ``trm export --format hub`` to the Hugging Face hub.

    Without --yes nothing is sent: what would be uploaded is printed. The token is that of the environment variable
    HF_TOKEN. The files are one commit, by whose name the model can be used from then on: hf:OWNER/NAME@COMMIT

    Args:
        folder: the folder.
        repository: OWNER/NAME on the hub; it is created if it is missing.
        private: create it as a private one.
        yes: upload.
    """
    from trm.data.hub import PREFIX
    from trm.export.push import prepare, upload

    ready = prepare(folder, repository)
    kind = "private" if private else "public"
    where = f"{ready.repo} on {ready.endpoint}, which is created as a {kind} repository if it is missing"
    print("\n".join([f"{'to upload' if yes else 'would upload'} to {where}:", *ready.described()]), flush=True)
    if not yes:
        print("nothing was sent; --yes uploads it")
        return 0
    print(f"uploaded: {PREFIX}{ready.repo}@{upload(ready, private)}")
    return 0
