"""The first layer of iEnhancer-2L: enhancers of nine cell lines against background."""

from kmerit.datasets.task import Task

TASK = Task(
    name="ienhancer_2l",
    classes=("background", "enhancer"),
    description="Human enhancers (200 nt, by chromatin state in nine cell lines) against other genome windows. "
    "Known fault: 100 of the 200 enhancers of the published test are copies of train enhancers.",
    source="iEnhancer-2L, layer 1 (Liu et al. 2016, doi:10.1093/bioinformatics/btv604), hg19; the files of "
    "github.com/lhy0322/iEnhancer-BERT, commit 6a54f6d. The test is complete; of 1,484 + 1,484 train rows 494 were put "
    "aside.",
    licence="MIT (repository); sequences: public reference genome (GRC).",
    assembly="GRCh37",
    rows={"train": (1226, 1248), "test": (200, 200)},
    checksums={
        "train.parquet": "432efb25ab97668f5794cd6e831c07f39a347f942f35d020856a0902e57be406",
        "test.parquet": "5cffa4aabeaffe212d63896b5595b6ab5646ba92d9cf515e1cfecb8bf73e2f23",
    },
)
