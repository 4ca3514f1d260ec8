"""People who log in with a provider."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Users of before have a password, and no subject."""
    op.add_column("users", sa.Column("subject", sa.Text))
