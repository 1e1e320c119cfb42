"""Specialisations that all gathering kernels share: formats, lanes of a label, rows in shared memory."""

from dataclasses import dataclass

from tests.kernels.cases.batch import BFLOAT16, BYTES, Case, make_case

THREADS = 256
LANE_ROWS = 8
SHAPES = [(1, 1, 8, 8), (7, 2, 9, 8), (150, 33, 25, 24), (3, 40, 517, 512)]  # B, L, D, K


@dataclass(frozen=True)
class GatherVariant:
    """A specialisation of a gathering kernel; formats are numbered as in `batch`."""

    weight: int = BFLOAT16
    feature: int = BFLOAT16
    group: int = 8
    shared: int = 1

    @property
    def gather_macros(self) -> dict[str, int]:
        """The macros that all gathering kernels have."""
        return {
            "WEIGHT": self.weight,
            "FEATURE": self.feature,
            "GROUP": self.group,
            "SHARED": self.shared,
        }

    @property
    def rows(self) -> int:
        """Rows of the batch of a block."""
        return LANE_ROWS * self.group

    @property
    def tile(self) -> int:
        """Labels of a block at a time."""
        return THREADS // self.group

    def shared_bytes(self, num_features: int) -> int:
        """Dynamic shared memory."""
        return self.rows * num_features * BYTES[self.feature] if self.shared else 0

    def case(
        self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0, whole: bool = False
    ) -> Case:
        """A case in the variant's formats."""
        return make_case(batch, labels, features, fan_in, self.weight, self.feature, seed=seed, whole=whole)
