"""What PyTorch does in bench_step.py: the training step and prediction, and what a warm step faults."""

from network import batch_of, torch_model, torch_optimizer
from workers import page_faults

VARIANTS = ("channels_last", "contiguous", "compiled")
# glibc's malloc gives large blocks back to the system when they are freed, and PyTorch faults their pages
# anew in every step. This keeps them: nothing is mapped apart, nothing trimmed.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_TOP_PAD_": str(2**28),
}


def about():
    import torch

    return lambda: f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"


def setup(batch, variant):
    """Return (torch, model, x, y). Inductor is given channels_last, which it prefers for convolutions.

    Callers compile with fullgraph=True: an error says so where it would fall back to eager calls.
    """
    import torch

    memory = torch.contiguous_format if variant == "contiguous" else torch.channels_last
    x, y = batch_of(batch)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory)
    return torch, torch_model().to(memory_format=memory), x, torch.from_numpy(y).long()


def train(batch, variant):
    torch, model, x, y = setup(batch, variant)
    optimizer = torch_optimizer(model)

    def loss_of(x, y):
        return torch.nn.functional.cross_entropy(model(x), y)

    if variant == "compiled":
        loss_of = torch.compile(loss_of, fullgraph=True, dynamic=False)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def predict(batch, variant):
    torch, model, x, _ = setup(batch, variant)
    model.eval()

    def probabilities(x):
        return torch.softmax(model(x), 1)

    if variant == "compiled":  # freezing folds the weights into what inductor compiles
        options = {"fullgraph": True, "dynamic": False, "options": {"freezing": True}}
        probabilities = torch.compile(probabilities, **options)

    def run():
        with torch.no_grad() if variant == "compiled" else torch.inference_mode():
            return probabilities(x)

    return run, lambda y: y.numpy()


def memory(batch, steps):
    """Return page faults a step, of warm steps."""
    step = train(batch, VARIANTS[0])
    for _ in range(3):
        step()

    def count():
        before = page_faults()
        for _ in range(steps):
            step()
        return {"train step": {"page faults": page_faults() - before}}

    return count


TASKS = {"about": about, "train": train, "predict": predict, "memory": memory}
