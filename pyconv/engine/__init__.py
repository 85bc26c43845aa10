"""How a network becomes kernel calls, and a training steps: nothing here is part of the public interface."""
