"""Promoters without a TATA box against insides of genes, split without leaks."""

from kmerit.datasets.task import Task

TASK = Task(
    name="epdnew_nontata",
    classes=("background", "promoter"),
    description="Human promoters without a TATA box (-200 to +50 of the transcription start, 251 nt) against "
    "gene fragments downstream of the first exon.",
    source="Built to the definition of human_nontata_promoters. Promoters: EPDnew windows of the GUE benchmark of "
    "DNABERT-2 (github.com/wds-seu/DeepGene, commit 486343e), without those that have a TATA box. Background: GRCh37 "
    "chr20, chr22 and chrX:0-70M, on the strand of the gene, at least 1 kb from any known start. Split by "
    "gene and by near copies (40 common 32-mers; repeats of the genome excepted); 15 % of the groups were put aside.",
    licence="Promoter windows: Apache-2.0 (repository), EPDnew sequences. Background: public reference genome (GRC).",
    assembly="GRCh37",
    rows={"train": (7834, 9661), "test": (3016, 3216)},
    checksums={
        "train.parquet": "bda670a2a42c71bac40781be74cccc8776c625ed6977640907865dac9e3f9719",
        "test.parquet": "098d0507136c2bf65be457febd4dca81cf1b64d0521debc398b13e1d7decd142",
    },
)
