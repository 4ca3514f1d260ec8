"""What Alembic runs: the steps, in the transaction that the catalog has opened."""

from alembic import context

from dicom_node.catalog.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
